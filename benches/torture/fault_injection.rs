//! What is done to the server and its database while the visitors are there.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::sleep;

use super::oracle::Violation;
use super::random::Random;
use super::run_state::World;
use super::support::server::test_server::Server;
use super::support::stores::fresh_store::{FreshStore, StoreKind};
use super::support::stores::sql::run_on_postgres;

/// The end of a run that is left without faults, so that what they did shows.
const QUIET: Duration = Duration::from_secs(8);

/// Breaks one thing after the other until the time is almost over.
pub(crate) async fn inject(
    server: &mut Server,
    store: &FreshStore,
    world: &Arc<World>,
    postgres_control: &[String],
) {
    let mut random = Random::of(world.seed, "faults");
    loop {
        sleep(Duration::from_millis(random.between(1500, 7000))).await;
        if world.left() < QUIET {
            return;
        }
        let fault = match random.between(0, 100) {
            0..25 => "kill",
            25..45 => "terminate",
            45..60 => "hang",
            60..80 => "database away",
            80..88 => "kill with the database away",
            _ if store.kind() == StoreKind::Sqlite => "hang",
            88..94 => "database connections cut",
            _ if postgres_control.is_empty() => "database connections cut",
            _ => "database killed",
        };
        world.count("faults", fault);
        let away = Duration::from_millis(random.between(300, 4500));
        match fault {
            "kill" => {
                kill(server, world).await;
                sleep(away / 5).await;
                server.restart_on_the_same_port().await;
            }
            "terminate" => terminate(server, world).await,
            "hang" => {
                world.stop();
                server.signal("STOP").await;
                sleep(away).await;
                server.signal("CONT").await;
                world.go_on();
            }
            "database away" => {
                let outage = store.take_offline().await;
                sleep(away).await;
                outage.end().await;
            }
            "kill with the database away" => {
                let outage = store.take_offline().await;
                sleep(away).await;
                kill(server, world).await;
                outage.end().await;
                server.restart_on_the_same_port().await;
            }
            "database killed" => {
                control(postgres_control, &["stop", "-m", "immediate", "-w"]).await;
                sleep(away).await;
                control(postgres_control, &["start", "-w"]).await;
            }
            _ => cut_connections(store).await,
        }
    }
}

async fn kill(server: &mut Server, world: &World) {
    server.kill().await;
    world.keep_log(server);
    world.lose();
}

/// Asks the server to leave, which it must do with all written, and starts it again.
pub(crate) async fn terminate(server: &mut Server, world: &World) {
    server.terminate().await;
    let code = server.wait_for_exit().await.code();
    world.keep_log(server);
    if code != Some(0) {
        world.lose();
        world.report(
            "server",
            &Violation::new("a server that is told to leave exits with 0", format!("{code:?}")),
        );
    }
    server.restart_on_the_same_port().await;
}

async fn cut_connections(store: &FreshStore) {
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    run_on_postgres(store.url(), cut).await;
}

/// Runs `pg_ctl`, whose command line `tests/torture` hands over.
async fn control(postgres_control: &[String], arguments: &[&str]) {
    let Some((program, before)) = postgres_control.split_first() else { return };
    let mut command = Command::new(program);
    command.args(before).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await;
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{arguments:?}: {status:?}");
}
