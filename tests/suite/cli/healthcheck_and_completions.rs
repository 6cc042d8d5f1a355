//! The commands `healthcheck`, for containers, and `completions`, for shells.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;

#[tokio::test]
async fn healthcheck_succeeds_only_if_the_server_is_ready() {
    let mut server = Server::start(ServerConfig::demo()).await;

    let port = server.address().port().to_string();
    let settings = [
        ("PORT", port.as_str()),
        ("HOST", "0.0.0.0"),
        ("DATABASE_URL", "mysql://nobody"),
        ("LOG_LEVEL", "loud"),
    ];
    let output = run_command(&["healthcheck"], &settings).await;

    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains(&format!("http://127.0.0.1:{port}/health/ready is ready")), "{output:?}");

    let url = server.http_url("");
    let output = run_command(&["healthcheck", "--url", &url, "--json"], &[]).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();

    assert_eq!((output.code, &report["ready"], &report["status"]), (Some(0), &json!(true), &json!(200)));

    let output = run_command(&["healthcheck", "--url", &server.http_url("/nowhere")], &[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("answered 404"), "{output:?}");

    // A server that hangs, and one that has stopped.
    server.signal("STOP").await;
    let output = run_command(&["healthcheck", "--timeout", "300ms"], &settings).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("did not answer in time"), "{output:?}");

    server.signal("CONT").await;
    server.terminate().await;
    server.wait_for_exit().await;
    let output = run_command(&["healthcheck", "--json"], &settings).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();

    assert_eq!((output.code, &report["ready"], &report["status"]), (Some(1), &json!(false), &Value::Null));
    assert!(output.stderr.contains("refused"), "{output:?}");

    let output = run_command(&["healthcheck"], &[("PORT", "0")]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("--url"), "{output:?}");
}

#[tokio::test]
async fn completions_exist_for_every_shell_and_work_in_bash() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run_command(&["completions", shell], &[]).await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{shell}: {output:?}");
        for word in ["conversations", "healthcheck", "older-than"] {
            assert!(output.stdout.contains(word), "{shell} does not complete {word}");
        }
    }

    let script = run_command(&["completions", "bash"], &[]).await.stdout;
    let complete = "COMP_WORDS=(resume-chatbot conversations ex); COMP_CWORD=2
        _resume__chatbot resume-chatbot ex conversations; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash")
        .args(["--norc", "-euc", &format!("{script}\n{complete}")])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();

    assert_eq!(String::from_utf8_lossy(&bash.stdout), "export\n", "{bash:?}");
    assert!(bash.stderr.is_empty() && bash.status.success(), "{bash:?}");
}
