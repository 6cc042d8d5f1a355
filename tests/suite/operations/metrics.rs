//! Metrics: correct values, only on the operator port, documented, and without content of messages.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::FAIL_FAST;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::http::{get, get_url};
use crate::support::server::config::ServerConfig;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::script::Script;

/// The page that documents every metric.
const METRICS_PAGE: &str = include_str!("../../../docs/metrics.md");

/// The metrics after one complete turn, one failed turn, an invalid frame and a takeover.
const EXPECTED_VALUES: [(&str, f64); 23] = [
    ("answer_turns_total{status=\"complete\",mode=\"live\"}", 1.0),
    ("answer_turns_total{status=\"failed\",mode=\"live\"}", 1.0),
    ("answer_time_to_first_token_seconds_count", 1.0),
    ("answer_duration_seconds_count", 2.0),
    ("upstream_requests_total{outcome=\"answered\"}", 1.0),
    ("upstream_requests_total{outcome=\"overloaded\"}", 1.0),
    ("upstream_requests_in_flight", 0.0),
    ("upstream_queue_depth", 0.0),
    ("session_connections_total", 2.0),
    ("session_opened_sessions_total", 1.0),
    ("session_resumed_sessions_total", 1.0),
    ("session_open_sessions", 1.0),
    ("session_errors_total{code=\"OVERLOADED\"}", 1.0),
    ("session_errors_total{code=\"VALIDATION_ERROR\"}", 1.0),
    ("session_errors_total{code=\"INTERNAL_ERROR\"}", 0.0),
    ("mailbox_enqueued_messages_total{actor=\"llm\",message=\"GenerateAnswer\"}", 2.0),
    ("mailbox_wait_seconds_count{actor=\"llm\",message=\"GenerateAnswer\"}", 2.0),
    ("mailbox_processing_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}", 2.0),
    ("mailbox_enqueued_messages_total{actor=\"session\",message=\"SessionCommand\"}", 1.0),
    ("mailbox_depth_messages{actor=\"llm\",message=\"GenerateAnswer\"}", 0.0),
    ("mailbox_capacity_messages{actor=\"llm\"}", 4096.0),
    ("store_unavailable", 0.0),
    ("log_dropped_lines_total", 0.0),
];

on_both_stores! {
    async fn metrics_count_a_conversation_without_its_content(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with_all(&FAIL_FAST);
        let server = Server::start(config).await;

        let before = Scrape::fetch(&server).await;
        assert_eq!(before.value("answer_turns_total{status=\"complete\",mode=\"live\"}"), 0.0);

        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        upstream
            .queue(Script::from_words(&["markeranswer", " one"]))
            .queue(Script::rejection(429, "too much"));

        let answer = visitor.ask_and_wait("markerquestion one?").await;
        visitor.ask_and_wait("markerquestion two?").await;
        visitor.send_text("no JSON").await;
        visitor.expect_error("VALIDATION_ERROR").await;
        let mut back = ChatClient::connect(&server).await;
        back.resume(&session, json!(null)).await;
        assert_eq!(visitor.wait_for_close().await, 4409);

        let after = Scrape::fetch(&server).await;
        for (name, value) in EXPECTED_VALUES {
            assert_eq!(after.value(name), value, "{name} in\n{}", after.text);
        }

        let prompt = answer.done["usage"]["prompt_tokens"].as_f64().unwrap();
        assert!(after.value("answer_tokens_total{kind=\"prompt\"}") >= prompt);
        // One session, two questions, two answers, one takeover.
        assert!(after.value("store_writes_total") >= 6.0, "{}", after.text);
        assert_eq!(after.value("store_commit_batch_size_sum"), after.value("store_writes_total"));
        assert!(after.value("process_resident_memory_bytes") > 1e6);
        assert!(after.value("process_open_fds") > 3.0);

        for content in
            ["markerquestion", "markeranswer", &session.session_id, answer.turn_id(), &session.resume_token]
        {
            assert!(!after.text.contains(content), "{content} is in the metrics:\n{}", after.text);
        }
    }
}

#[tokio::test]
async fn metrics_are_served_only_on_the_operator_port() {
    let server = Server::start(ServerConfig::demo()).await;
    assert_eq!(get(&server, "/metrics").await.status, 404);

    let operator = server.operator_url("/").await;
    let health = get_url(&format!("{operator}health")).await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")), "{health:?}");
    for path in ["", "ws/chat", "client.js"] {
        assert_eq!(get_url(&format!("{operator}{path}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn operator_port_can_be_disabled() {
    let server = Server::start(ServerConfig::demo().with("OPERATOR_ADDRESS", "off")).await;
    assert_eq!(get(&server, "/health").await.status, 200);
    assert_eq!(get(&server, "/metrics").await.status, 404);
    assert!(server.logs().iter().all(|line| !line.to_string().contains("operator")), "{:?}", server.logs());
}

#[tokio::test]
async fn invalid_or_occupied_operator_address_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", address.as_str()),
        ("DATABASE_URL", "sqlite://here.db"),
        ("LLM_BASE_URL", "http://127.0.0.1:9/v1"),
        ("RESUME_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resumes/sample.md")),
    ];
    let output = run_command(&["serve"], &settings).await;

    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["OPERATOR_ADDRESS", "is taken", &taken.local_addr().unwrap().port().to_string()] {
        assert!(output.stderr.contains(word), "{word} is not in {output:?}");
    }

    for invalid in ["9090", "here:9090", "127.0.0.1:port", "::1:9090", "on"] {
        let output = run_command(&["demo"], &[("PORT", "0"), ("OPERATOR_ADDRESS", invalid)]).await;
        assert_eq!(output.code, Some(78), "{invalid}: {output:?}");
        assert!(output.stderr.contains("OPERATOR_ADDRESS") && output.stderr.contains(invalid), "{output:?}");
    }
}

#[tokio::test]
async fn every_metric_is_well_named_and_documented() {
    let server = Server::start(ServerConfig::demo()).await;
    let mut visitor = ChatClient::connect(&server).await;

    visitor.ask_and_wait("Where did she work?").await;
    let scrape = Scrape::fetch(&server).await;
    let families = scrape.families();

    assert!(families.len() > 30, "{}", scrape.text);

    let row = |(name, kind, help): &(String, String, String)| format!("| `{name}` | {kind} | {help} |");
    let rows: Vec<String> = families.iter().map(row).collect();
    let documented: Vec<&str> =
        METRICS_PAGE.lines().filter(|line| line.starts_with("| `resume_chatbot_")).collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !documented.contains(&row.as_str())).collect();

    assert!(missing.is_empty(), "docs/metrics.md should have: {missing:#?}");
    assert!(documented == rows, "docs/metrics.md should have this order:\n{}", rows.join("\n"));

    for (name, kind, help) in &families {
        assert!(name.starts_with("resume_chatbot_") && !name.contains("__"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_ms") && !name.ends_with("_kib"), "{name}");
        assert!(help.ends_with('.') && help.len() > 7, "{name}: {help}");
        if kind == "histogram" {
            assert!(name.ends_with("_seconds") || name.ends_with("_batch_size"), "{name} has no base unit");
        }
    }

    // Label values are fixed words and bucket bounds, never ids or addresses.
    for series in scrape.series.keys() {
        let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
            let value = value.trim_end_matches('"');
            let known = [
                "actor", "message", "reason", "status", "mode", "code", "kind", "outcome", "limit",
                "category", "scope", "window", "le", "version",
            ];
            assert!(known.contains(&label), "{series}");
            let is_number = ["le", "version"].contains(&label);
            let is_word = value.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
            assert!(is_number || (is_word && value.len() < 32), "{series}");
        }
    }
}

#[tokio::test]
async fn demo_starts_without_metrics_if_the_operator_port_is_occupied() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let server = Server::start(ServerConfig::demo().with("OPERATOR_ADDRESS", address)).await;
    let is_warning = |line: &Value| line["msg"] == "no metrics are served";
    server.wait_for_log("the warning about metrics", is_warning).await;

    assert_eq!(get(&server, "/health/live").await.status, 200);
}
