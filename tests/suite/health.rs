//! Probes and the ids of requests: the truth, fast, for nothing, and found again in the log.

use std::time::Duration;

use serde_json::Value;

use crate::on_both_stores;
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::handshake::Handshake;
use crate::support::http::{HttpResponse, get, get_url, get_with};
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::stores::{FreshStore, Store};

/// A probe answers in this time, whatever is away.
const BOUND: Duration = Duration::from_secs(4);

fn status_of(report: &HttpResponse, check: &str) -> String {
    let report = report.json();
    let status = report["checks"][check]["status"].as_str();
    status.unwrap_or_else(|| panic!("no status of {check} in {report}")).to_owned()
}

async fn postgres(test: &str) -> Option<FreshStore> {
    Store::Postgres.fresh_for(&format!("{}::{test}", module_path!())).await
}

on_both_stores! {
    async fn a_healthy_server_says_so_part_by_part_and_asks_the_model_nothing(store: FreshStore) {
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
        assert_eq!(upstream.open_connections(), 0);
    }

    async fn sessions_are_counted_as_they_come_and_go(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;
        let report = get(&server, "/health").await.json();
        assert_eq!(report["checks"]["sessions"]["detail"], "1 connections");
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_noticed_in_time_and_its_return_too() {
    let Some(store) = postgres("a_database_that_is_away").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let outage = store.go_away().await;
    let deep = get(&server, "/health?deep=true").await;
    assert_eq!(deep.status, 503, "{deep:?}");
    assert!(deep.took < BOUND, "{deep:?}");
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
async fn many_probes_at_once_share_a_check_and_do_not_wait_for_each_other() {
    let Some(store) = postgres("many_probes_at_once").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let outage = store.go_away().await;
    let before = storage_checks(&server).await;
    let probes = (0..20).map(|_| get(&server, "/health?deep=true"));
    for response in futures_util::future::join_all(probes).await {
        assert_eq!(response.status, 503);
        assert!(response.took < BOUND, "{response:?}");
    }
    // One for all of them, none if the one made at start is still under way, a few should they come slowly.
    let checks = storage_checks(&server).await - before;
    assert!(checks <= 5, "{checks} checks for 20 probes");
    outage.end().await;
}

/// How often the store was asked how it is.
async fn storage_checks(server: &Server) -> u64 {
    let scrape = get_url(server.operator_url("/metrics").await).await.body;
    let asked = "mailbox_enqueued_messages_total{actor=\"persistence\",message=\"CheckStorage\"} ";
    let count = scrape.split_once(asked).and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    count.unwrap_or_else(|| panic!("no count in {scrape}"))
}

#[tokio::test]
async fn a_request_id_is_echoed_if_well_formed_and_replaced_if_not() {
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
        let given = response.header("x-request-id").unwrap_or_default();
        assert!(given != bad && given.len() >= 32, "{bad}: {response:?}");
    }
    let one = get(&server, "/health").await;
    let other = get(&server, "/health").await;
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    let refused = get_with(&server, "/ws/chat", &[("X-Request-Id", "refused-1")]).await;
    assert_eq!((refused.status, refused.json()["request_id"].as_str()), (426, Some("refused-1")));
}

on_both_stores! {
    async fn the_log_of_a_connection_is_found_by_its_ids(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with("LOG_LEVEL", "debug");
        let mut server = Server::start(config).await;
        let handshake = Handshake::new().header("X-Request-Id", "from-the-browser-7");
        let mut visitor = ChatClient::connect_with(&server, &handshake).await.unwrap();
        assert_eq!(visitor.header("x-request-id"), Some("from-the-browser-7"));
        let session = visitor.start().await;
        assert_eq!(session.frame["request_id"], "from-the-browser-7");
        let answer = visitor.ask_and_hear("Where?").await;
        visitor.say_text("no JSON").await;
        assert_eq!(visitor.hear_error("VALIDATION_ERROR").await["request_id"], "from-the-browser-7");
        visitor.leave().await;
        server.terminate().await;
        server.wait_exit().await;
        let lines: Vec<Value> = server
            .logs()
            .into_iter()
            .filter(|line| line["request_id"] == "from-the-browser-7")
            .collect();
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
