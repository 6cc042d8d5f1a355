//! `healthcheck`, which containers run, and `completions`, which shells do.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_to_end;
use crate::support::server::test_server::Server;

#[tokio::test]
async fn a_probe_succeeds_when_the_server_is_ready() {
    let mut server = Server::start(ServerConfig::demo()).await;
    let port = server.address().port().to_string();
    let settings = [
        ("PORT", port.as_str()),
        ("HOST", "0.0.0.0"),
        ("DATABASE_URL", "mysql://nobody"),
        ("LOG_LEVEL", "loud"),
    ];
    let output = run_to_end(&["healthcheck"], &settings).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains(&format!("http://127.0.0.1:{port}/health/ready is ready")), "{output:?}");
    let url = server.http_url("");
    let output = run_to_end(&["healthcheck", "--url", &url, "--json"], &[]).await;
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.code, &found["ready"], &found["status"]), (Some(0), &json!(true), &json!(200)));
    let output = run_to_end(&["healthcheck", "--url", &server.http_url("/nowhere")], &[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("answered 404"), "{output:?}");

    // A server that takes connections and says nothing, and one that is not there.
    server.signal("STOP").await;
    let output = run_to_end(&["healthcheck", "--timeout", "300ms"], &settings).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("did not answer in time"), "{output:?}");
    server.signal("CONT").await;
    server.terminate().await;
    server.wait_exit().await;
    let output = run_to_end(&["healthcheck", "--json"], &settings).await;
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.code, &found["ready"], &found["status"]), (Some(1), &json!(false), &Value::Null));
    assert!(output.stderr.contains("refused"), "{output:?}");
    let output = run_to_end(&["healthcheck"], &[("PORT", "0")]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("--url"), "{output:?}");
}

#[tokio::test]
async fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run_to_end(&["completions", shell], &[]).await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{shell}: {output:?}");
        for word in ["conversations", "healthcheck", "older-than"] {
            assert!(output.stdout.contains(word), "{shell} does not complete {word}");
        }
    }
    let script = run_to_end(&["completions", "bash"], &[]).await.stdout;
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
