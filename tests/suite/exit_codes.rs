//! Every exit code, provoked, and listed in the README.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::faults::arm;
use crate::support::process::run_to_end;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

const README: &str = include_str!("../../README.md");

/// The codes in the README's table.
fn listed() -> BTreeSet<i32> {
    let table = README.split("| exit code | means |").nth(1).unwrap().trim_start();
    let rows = table.lines().take_while(|line| line.starts_with('|')).skip(1);
    rows.map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap()).collect()
}

#[tokio::test]
async fn every_exit_code_is_listed_and_every_code_listed_happens() {
    let mut seen = BTreeSet::new();
    let mut demo = Server::start(ServerConfig::demo()).await;
    demo.terminate().await;
    seen.extend(demo.wait_exit().await.code());

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    seen.extend(run_to_end(&["demo"], &[("PORT", &port), ("OPERATOR_ADDRESS", "off")]).await.code);
    seen.extend(run_to_end(&["sreve"], &[]).await.code);
    seen.extend(run_to_end(&["demo"], &[("PORT", "eighty")]).await.code);

    let mut unlucky = Server::start(ServerConfig::demo()).await;
    arm(&unlucky, "WatchdogTick", 6).await;
    seen.extend(unlucky.wait_exit().await.code());

    let upstream = FakeOpenRouter::start().await;
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let mut busy = Server::start(config).await;
    upstream.queue(Script::of(&["Wait."]).hang_after(1));
    let mut visitor = ChatClient::connect(&busy).await;
    visitor.ask("Are you leaving?").await;
    visitor.hear_until("delta").await;
    busy.terminate().await;
    visitor.hear_until("notice").await;
    busy.terminate().await;
    seen.extend(busy.wait_exit().await.code());

    assert_eq!(seen, listed());
}

/// The features that this package is built with, in the eyes of these kinds of dependencies.
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
fn no_build_for_use_has_faults_on_order() {
    assert!(!features("normal,build").contains("fault-injection"));
    assert!(features("normal,build,dev").contains("fault-injection"), "the test looks at the wrong place");
    // Nor does anything that builds for use ask for it.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["Containerfile", "README.md", "docs/operations.md", "compose.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(!text.contains("fault-injection") && !text.contains("--all-features"), "{file}");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("default = ["), "the default features are looked at nowhere");
    // What is caught has to be unwound.
    assert!(!manifest.contains("panic = \"abort\""), "{manifest}");
}
