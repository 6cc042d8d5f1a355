//! Exit codes: each one is provoked and compared with the table in the README.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::panic_at;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

const README: &str = include_str!("../../../README.md");

/// Reads the exit codes from the table in the README.
fn documented_codes() -> BTreeSet<i32> {
    let table = README.split("| exit code | means |").nth(1).unwrap().trim_start();
    let rows = table.lines().take_while(|line| line.starts_with('|')).skip(1);
    rows.map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap()).collect()
}

#[tokio::test]
async fn every_exit_code_occurs_and_is_documented() {
    let mut seen = BTreeSet::new();
    let mut demo = Server::start(ServerConfig::demo()).await;
    demo.terminate().await;
    seen.extend(demo.wait_for_exit().await.code());

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    seen.extend(run_command(&["demo"], &[("PORT", &port), ("OPERATOR_ADDRESS", "off")]).await.code);
    seen.extend(run_command(&["sreve"], &[]).await.code);
    seen.extend(run_command(&["demo"], &[("PORT", "eighty")]).await.code);

    let mut panicking = Server::start(ServerConfig::demo()).await;
    panic_at(&panicking, "WatchdogTick", 6).await;
    seen.extend(panicking.wait_for_exit().await.code());

    let upstream = FakeOpenRouter::start().await;
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let mut busy = Server::start(config).await;
    upstream.queue(Script::from_words(&["Wait."]).hang_after(1));
    let mut visitor = ChatClient::connect(&busy).await;

    visitor.ask("Are you leaving?").await;
    visitor.receive_until("delta").await;
    busy.terminate().await;
    visitor.receive_until("notice").await;
    busy.terminate().await;
    seen.extend(busy.wait_for_exit().await.code());

    assert_eq!(seen, documented_codes());
}

/// Returns the features of this package that these kinds of dependency edges enable.
fn features(edges: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "tree",
        "--locked",
        "--offline",
        "--depth",
        "1",
        "--format",
        "{p} has {f}",
        "--edges",
        edges,
    ]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains("resume-chatbot v")).collect()
}

#[test]
fn release_builds_have_no_fail_points() {
    assert!(!features("normal,build").contains("fault-injection"));
    assert!(features("normal,build,dev").contains("fault-injection"), "cargo tree does not show the feature");

    // No documented build enables it.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["Containerfile", "README.md", "docs/operations.md", "compose.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(!text.contains("fault-injection") && !text.contains("--all-features"), "{file}");
    }

    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("default = ["), "default features must be checked, too");
    // Catching panics requires unwinding.
    assert!(!manifest.contains("panic = \"abort\""), "{manifest}");
}
