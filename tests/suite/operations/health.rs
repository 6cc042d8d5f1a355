//! Health checks and request ids.

use std::time::Duration;

use serde_json::Value;

use crate::on_both_stores;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::{HttpResponse, get, get_url, get_with};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

/// The maximum response time of a health check, even during an outage.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(4);

fn status_of(report: &HttpResponse, check: &str) -> String {
    let report = report.json();
    let status = report["checks"][check]["status"].as_str();
    status.unwrap_or_else(|| panic!("no status of {check} in {report}")).to_owned()
}

async fn create_postgres(test: &str) -> Option<FreshStore> {
    StoreKind::Postgres.create_for(&format!("{}::{test}", module_path!())).await
}

on_both_stores! {
    async fn health_reports_every_check_without_upstream_requests(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;

        for path in ["/health", "/health?deep=true", "/health?deep=false"] {
            let response = get(&server, path).await;
            assert_eq!(response.status, 200, "{path}: {response:?}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
            let report = response.json();
            assert_eq!(report["status"], "healthy", "{path}");
            assert_eq!(report["version"], env!("CARGO_PKG_VERSION"), "{path}");
            assert!(report["uptime_s"].is_u64(), "{path}: {report}");
            for check in ["database", "resume", "llm", "sessions"] {
                assert_eq!(status_of(&response, check), "healthy", "{path}: {report}");
                assert!(report["checks"][check]["detail"].is_string(), "{path}: {report}");
            }
            for check in report["checks"].as_object().unwrap().values() {
                assert!(check["latency_ms"].is_number() && check["age_ms"].is_number(), "{path}: {report}");
            }
            let mailboxes = report["checks"]["actors"]["mailboxes"].as_object().unwrap();
            let actors: Vec<&String> = mailboxes.keys().collect();
            assert_eq!(actors, ["health", "llm", "persistence"], "{path}: {report}");
            assert!(mailboxes.values().all(Value::is_u64), "{path}: {report}");
        }

        for path in ["/health/live", "/health/ready"] {
            assert_eq!(get(&server, path).await.status, 200, "{path}");
        }
        assert_eq!(upstream.requests().len(), 0);
        // Those that ask the server what it is are closed when it has answered.
        upstream.wait_for_connections(0).await;
    }

    async fn health_reports_the_number_of_connections(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;

        let report = get(&server, "/health").await.json();
        assert_eq!(report["checks"]["sessions"]["detail"], "1 connections");
    }
}

#[tokio::test]
async fn health_reports_a_database_outage_and_its_end() {
    let Some(store) = create_postgres("health_reports_a_database_outage").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;

    let outage = store.take_offline().await;
    let deep = get(&server, "/health?deep=true").await;
    assert_eq!(deep.status, 503, "{deep:?}");
    assert!(deep.took < MAX_RESPONSE_TIME, "{deep:?}");
    assert_eq!(deep.json()["status"], "unhealthy");
    assert_eq!(status_of(&deep, "database"), "unhealthy");
    assert_eq!(status_of(&deep, "llm"), "healthy");

    let (live, ready) = (get(&server, "/health/live").await, get(&server, "/health/ready").await);
    assert_eq!((live.status, ready.status), (200, 503), "{ready:?}");
    assert!(live.took < Duration::from_secs(1), "{live:?}");
    assert_eq!(ready.json()["code"], "OVERLOADED");
    for response in [deep, ready] {
        assert!(!response.body.contains("postgres") && !response.body.contains("chat_test"), "{response:?}");
    }

    outage.end().await;
    let deep = get(&server, "/health?deep=true").await;
    assert_eq!(deep.status, 200, "{deep:?}");
    assert_eq!(get(&server, "/health/ready").await.status, 200);
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn concurrent_health_checks_share_a_database_check() {
    let Some(store) = create_postgres("concurrent_health_checks").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;

    let outage = store.take_offline().await;
    let before = storage_checks(&server).await;
    let probes = (0..20).map(|_| get(&server, "/health?deep=true"));

    for response in futures_util::future::join_all(probes).await {
        assert_eq!(response.status, 503);
        assert!(response.took < MAX_RESPONSE_TIME, "{response:?}");
    }

    // Usually one check for all; none if the check at start still runs, a few if the probes are
    // slow.
    let checks = storage_checks(&server).await - before;
    assert!(checks <= 5, "{checks} checks for 20 probes");

    outage.end().await;
}

/// Returns how often the database has been checked.
async fn storage_checks(server: &Server) -> u64 {
    let scrape = get_url(server.operator_url("/metrics").await).await.body;
    let series = "mailbox_enqueued_messages_total{actor=\"persistence\",message=\"CheckStorage\"} ";
    let count = scrape.split_once(series).and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    count.unwrap_or_else(|| panic!("no count in {scrape}"))
}

#[tokio::test]
async fn request_id_is_echoed_if_valid_and_replaced_otherwise() {
    let server = Server::start(ServerConfig::demo()).await;
    let paths = ["/", "/health", "/health/live", "/health?deep=banana", "/ws/chat", "/nowhere"];

    for path in paths {
        let response = get_with(&server, path, &[("X-Request-Id", "probe-1.a:b_C")]).await;
        assert_eq!(response.header("x-request-id"), Some("probe-1.a:b_C"), "{path}: {response:?}");
        let response = get(&server, path).await;
        assert!(response.header("x-request-id").is_some_and(|id| id.len() >= 32), "{path}: {response:?}");
    }

    for bad in ["two words", "semi;colon", "\"quoted\"", "ünïcode", &"x".repeat(129)] {
        let response = get_with(&server, "/health", &[("X-Request-Id", bad)]).await;
        let returned = response.header("x-request-id").unwrap_or_default();
        assert!(returned != bad && returned.len() >= 32, "{bad}: {response:?}");
    }

    let first = get(&server, "/health").await;
    let second = get(&server, "/health").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));

    let rejected = get_with(&server, "/ws/chat", &[("X-Request-Id", "refused-1")]).await;
    assert_eq!((rejected.status, rejected.json()["request_id"].as_str()), (426, Some("refused-1")));
}

on_both_stores! {
    async fn log_entries_of_a_connection_carry_its_ids(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "debug");
        let mut server = Server::start(config).await;
        let handshake = Handshake::new().header("X-Request-Id", "from-the-browser-7");

        let mut visitor = ChatClient::connect_with(&server, &handshake).await.unwrap();
        assert_eq!(visitor.header("x-request-id"), Some("from-the-browser-7"));

        let session = visitor.start().await;
        assert_eq!(session.frame["request_id"], "from-the-browser-7");

        let answer = visitor.ask_and_wait("Where?").await;
        visitor.send_text("no JSON").await;
        assert_eq!(visitor.expect_error("VALIDATION_ERROR").await["request_id"], "from-the-browser-7");

        visitor.close().await;
        server.terminate().await;
        server.wait_for_exit().await;
        let lines: Vec<Value> =
            server.logs().into_iter().filter(|line| line["request_id"] == "from-the-browser-7").collect();
        let position = |msg: &str| {
            let found = lines.iter().position(|line| line["msg"] == msg);
            found.unwrap_or_else(|| panic!("no {msg:?} in {lines:#?}"))
        };
        let opened = position("session opened");

        assert!(position("connected") < opened);
        for line in &lines[opened..] {
            assert_eq!(line["session_id"], *session.session_id, "{line}");
        }

        let ended = &lines[position("turn ended")];
        assert_eq!(ended["turn_id"], answer.turn_id(), "{ended}");
        assert!(position("session closed") > opened);
    }
}
