//! The OpenRouter API key: it is checked at start, and the remaining credit is reported.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::TIMEOUT;
use crate::support::client::chat::Chat;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::{Output, run_command};
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

/// Runs a command with OpenRouter behind this proxy.
async fn run_with_proxy(command: &str, proxy_url: &str) -> Output {
    let settings = [
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", "off"),
        ("DATABASE_URL", "sqlite://here.db"),
        ("OPENROUTER_API_KEY", "sk-or-test-key"),
        ("LLM_BASE_URL", "http://openrouter.ai/api/v1"),
        ("HTTP_PROXY", proxy_url),
        ("RESUME_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md")),
    ];
    run_command(&[command], &settings).await
}

fn proxy_url(upstream: &FakeOpenRouter) -> String {
    upstream.base_url().replace("/api/v1", "")
}

#[tokio::test]
async fn invalid_key_stops_the_start_with_a_clear_error() {
    let upstream = FakeOpenRouter::start().await;
    upstream.serve_document("/key", 401, json!({"error": {"code": 401, "message": "User not found."}}));

    for command in ["serve", "check"] {
        let output = run_with_proxy(command, &proxy_url(&upstream)).await;
        assert_eq!(output.code, Some(78), "{command}: {output:?}");
        assert!(output.stderr.contains("OPENROUTER_API_KEY") && output.stderr.contains("401"), "{output:?}");
        assert!(
            !output.stderr.contains("sk-or-test-key") && !output.stdout.contains("Chat about"),
            "{output:?}"
        );
    }

    assert!(upstream.requests().is_empty(), "the key check sent a completion request");
}

#[tokio::test]
async fn failed_key_check_is_only_a_warning_and_does_not_delay_the_start() {
    let upstream = FakeOpenRouter::start().await;
    upstream.serve_document("/key", 503, json!({"error": {"code": 503}}));
    let is_warning = |line: &Value| line["msg"] == "the key could not be checked";
    let server = Server::start(ServerConfig::openrouter(&upstream)).await;

    let line = server.wait_for_log("the warning about the key", is_warning).await;
    assert!(line["cause"].as_str().unwrap().contains("503"), "{line}");

    let checked = run_with_proxy("check", &proxy_url(&upstream)).await;
    assert!(
        checked.code == Some(0) && checked.stdout.contains("warning: the state of the key is unknown"),
        "{checked:?}"
    );

    // A server that accepts connections and never responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let server = Server::start(ServerConfig::openrouter(&upstream).with("HTTP_PROXY", silent)).await;
    server.wait_for_log("the warning about the key", is_warning).await;

    assert!(started.elapsed() < TIMEOUT / 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn deep_health_reports_the_credit_without_a_lookup() {
    let upstream = FakeOpenRouter::start().await;
    let key = json!({"data": {"limit": 10, "limit_remaining": 7.5, "usage": 2.5, "usage_daily": 0.0}});
    upstream.serve_document("/key", 200, key);
    let chat = Chat::from_config(ServerConfig::openrouter(&upstream), upstream, &[]).await;

    let lookup = chat.upstream.next_lookup().await;
    assert_eq!((lookup.method.as_str(), lookup.path.as_str()), ("GET", "http://openrouter.ai/api/v1/key"));
    assert_eq!(lookup.headers.get("authorization").map(String::as_str), Some("Bearer sk-or-test-key"));

    for _ in 0..3 {
        let health = get(&chat.server, "/health?deep=true").await;
        let detail = health.json()["checks"]["llm"]["detail"].clone();
        assert!(detail.as_str().unwrap().contains("key: $7.50 left"), "{detail}");
        assert_eq!(health.status, 200);
    }

    let checked = run_with_proxy("check", &proxy_url(&chat.upstream)).await;
    assert!(checked.stdout.contains("valid: $7.50 left"), "{checked:?}");
    assert_eq!(chat.upstream.lookups().len(), 2, "expected one lookup at start and one by `check`");
}

#[tokio::test]
async fn key_is_checked_only_at_openrouter() {
    let mut chat = Chat::new(&[]).await;

    chat.visitor.ask_and_wait("Who is it?").await;
    get(&chat.server, "/health?deep=true").await;

    assert!(chat.upstream.lookups().is_empty());
}
