//! Faults of the server and its database during a run.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::sleep;

use super::oracle::Violation;
use super::random::Random;
use super::run_state::RunState;
use super::support::server::test_server::Server;
use super::support::stores::fresh_store::{FreshStore, StoreKind};
use super::support::stores::sql::run_on_postgres;

/// The last part of a run, without faults, so that the effects of earlier ones show.
const QUIET_END: Duration = Duration::from_secs(8);

/// A fault.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Terminate,
    Hang,
    DatabaseOutage,
    KillDuringOutage,
    TerminateDatabaseConnections,
    KillDatabase,
}

impl Fault {
    /// Chooses a fault that is possible on this store.
    fn random(random: &mut Random, store: StoreKind, can_kill_database: bool) -> Self {
        match random.between(0, 100) {
            0..25 => Self::Kill,
            25..45 => Self::Terminate,
            45..60 => Self::Hang,
            60..80 => Self::DatabaseOutage,
            80..88 => Self::KillDuringOutage,
            _ if store == StoreKind::Sqlite => Self::Hang,
            88..94 => Self::TerminateDatabaseConnections,
            _ if can_kill_database => Self::KillDatabase,
            _ => Self::TerminateDatabaseConnections,
        }
    }

    /// Returns the name in the report.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Hang => "hang",
            Self::DatabaseOutage => "database outage",
            Self::KillDuringOutage => "kill during a database outage",
            Self::TerminateDatabaseConnections => "database connections terminated",
            Self::KillDatabase => "database killed",
        }
    }
}

/// Injects one fault after the other until shortly before the end of the run. `pg_ctl` is the
/// command line that controls PostgreSQL, or empty.
pub(crate) async fn inject_faults(
    server: &mut Server,
    store: &FreshStore,
    run: &Arc<RunState>,
    pg_ctl: &[String],
) {
    let mut random = Random::new(run.seed, "faults");
    loop {
        sleep(Duration::from_millis(random.between(1500, 7000))).await;
        if run.remaining() < QUIET_END {
            return;
        }
        let fault = Fault::random(&mut random, store.kind(), !pg_ctl.is_empty());
        run.count("faults", fault.name());
        let duration = Duration::from_millis(random.between(300, 4500));
        match fault {
            Fault::Kill => {
                kill(server, run).await;
                sleep(duration / 5).await;
                server.restart_on_the_same_port().await;
            }
            Fault::Terminate => terminate_and_restart(server, run).await,
            Fault::Hang => {
                run.record_pause();
                server.signal("STOP").await;
                sleep(duration).await;
                server.signal("CONT").await;
                run.record_continue();
            }
            Fault::DatabaseOutage => {
                let outage = store.take_offline().await;
                sleep(duration).await;
                outage.end().await;
            }
            Fault::KillDuringOutage => {
                let outage = store.take_offline().await;
                sleep(duration).await;
                kill(server, run).await;
                outage.end().await;
                server.restart_on_the_same_port().await;
            }
            Fault::TerminateDatabaseConnections => terminate_connections(store).await,
            Fault::KillDatabase => {
                run_pg_ctl(pg_ctl, &["stop", "-m", "immediate", "-w"]).await;
                sleep(duration).await;
                run_pg_ctl(pg_ctl, &["start", "-w"]).await;
            }
        }
    }
}

async fn kill(server: &mut Server, run: &RunState) {
    server.kill().await;
    run.save_server_log(server);
    run.record_loss();
}

/// Shuts the server down gracefully, which must write everything, and starts it again.
pub(crate) async fn terminate_and_restart(server: &mut Server, run: &RunState) {
    server.terminate().await;
    let code = server.wait_for_exit().await.code();
    run.save_server_log(server);
    if code != Some(0) {
        run.record_loss();
        let violation = Violation::new("a graceful shutdown exits with 0", format!("{code:?}"));
        run.report("server", &violation);
    }
    server.restart_on_the_same_port().await;
}

async fn terminate_connections(store: &FreshStore) {
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    run_on_postgres(store.url(), terminate).await;
}

/// Runs `pg_ctl` with these arguments.
async fn run_pg_ctl(pg_ctl: &[String], arguments: &[&str]) {
    let Some((program, first_arguments)) = pg_ctl.split_first() else { return };
    let mut command = Command::new(program);
    command.args(first_arguments).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await;
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{arguments:?}: {status:?}");
}
