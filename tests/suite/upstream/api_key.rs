//! The key of OpenRouter: a wrong one stops the start, a server that does not tell does not, and what is left is known.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::chat::Chat;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::{Output, run_to_end};
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

/// Runs a command whose OpenRouter is this proxy.
async fn run(command: &str, proxy: &str) -> Output {
    let settings = [
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", "off"),
        ("DATABASE_URL", "sqlite://here.db"),
        ("OPENROUTER_API_KEY", "sk-or-test-key"),
        ("LLM_BASE_URL", "http://openrouter.ai/api/v1"),
        ("HTTP_PROXY", proxy),
        ("RESUME_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md")),
    ];
    run_to_end(&[command], &settings).await
}

fn proxy(upstream: &FakeOpenRouter) -> String {
    upstream.base_url().replace("/api/v1", "")
}

#[tokio::test]
async fn a_wrong_key_stops_the_start_with_a_clear_error() {
    let upstream = FakeOpenRouter::start().await;
    upstream.document("/key", 401, json!({"error": {"code": 401, "message": "User not found."}}));
    for command in ["serve", "check"] {
        let output = run(command, &proxy(&upstream)).await;
        assert_eq!(output.code, Some(78), "{command}: {output:?}");
        assert!(output.stderr.contains("OPENROUTER_API_KEY") && output.stderr.contains("401"), "{output:?}");
        assert!(
            !output.stderr.contains("sk-or-test-key") && !output.stdout.contains("Chat about"),
            "{output:?}"
        );
    }
    assert!(upstream.requests().is_empty(), "asking about a key costs nothing");
}

#[tokio::test]
async fn a_server_that_does_not_tell_is_a_warning_and_holds_up_nobody_for_long() {
    let upstream = FakeOpenRouter::start().await;
    upstream.document("/key", 503, json!({"error": {"code": 503}}));
    let warned = |line: &Value| line["msg"] == "the key could not be checked";
    let server = Server::start(ServerConfig::openrouter(&upstream)).await;
    let line = server.wait_for_log("that the key could not be checked", warned).await;
    assert!(line["cause"].as_str().unwrap().contains("503"), "{line}");
    let checked = run("check", &proxy(&upstream)).await;
    assert!(
        checked.code == Some(0) && checked.stdout.contains("warning: the server does not tell"),
        "{checked:?}"
    );

    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let server = Server::start(ServerConfig::openrouter(&upstream).with("HTTP_PROXY", silent)).await;
    server.wait_for_log("that the key could not be checked", warned).await;
    assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_is_left_of_the_credit_is_told_by_the_deep_check_without_asking_for_it() {
    let upstream = FakeOpenRouter::start().await;
    let key = json!({"data": {"limit": 10, "limit_remaining": 7.5, "usage": 2.5, "usage_daily": 0.0}});
    upstream.document("/key", 200, key);
    let chat = Chat::of(ServerConfig::openrouter(&upstream), upstream, &[]).await;
    let asked = chat.upstream.next_lookup().await;
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "http://openrouter.ai/api/v1/key"));
    assert_eq!(asked.headers.get("authorization").map(String::as_str), Some("Bearer sk-or-test-key"));
    for _ in 0..3 {
        let health = get(&chat.server, "/health?deep=true").await;
        let detail = health.json()["checks"]["llm"]["detail"].clone();
        assert!(detail.as_str().unwrap().contains("key: $7.50 left"), "{detail}");
        assert_eq!(health.status, 200);
    }
    let told = run("check", &proxy(&chat.upstream)).await;
    assert!(told.stdout.contains("valid: $7.50 left"), "{told:?}");
    assert_eq!(chat.upstream.lookups().len(), 2, "once at start, once for `check`");
}

#[tokio::test]
async fn other_servers_are_not_asked_about_keys() {
    let mut chat = Chat::with(&[]).await;
    chat.visitor.ask_and_hear("Who is it?").await;
    get(&chat.server, "/health?deep=true").await;
    assert!(chat.upstream.lookups().is_empty());
}
