//! Limits per client address, with and without a trusted proxy.

use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::metrics_scrape::Scrape;

const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS_PER_ADDRESS";
const SESSIONS_PER_HOUR: &str = "SESSIONS_PER_HOUR_PER_ADDRESS";
const QUESTIONS_PER_MINUTE: &str = "QUESTIONS_PER_MINUTE_PER_ADDRESS";

fn forwarded_for(addresses: &str) -> Handshake {
    Handshake::new().header("X-Forwarded-For", addresses)
}

#[tokio::test]
async fn connection_limit_applies_to_each_address_separately() {
    let chat = Chat::new(&[(MAX_CONNECTIONS, "1")]).await;

    let rejection = ChatClient::connect_with(&chat.server, &Handshake::new()).await.err();
    let rejection = rejection.map(|r| (r.status, r.body["code"].clone(), r.header("retry-after").is_some()));
    assert_eq!(rejection, Some((429, "RATE_LIMIT_EXCEEDED".into(), true)));

    let other_address = Handshake::new().with_local_address("127.0.0.2");
    assert!(ChatClient::connect_with(&chat.server, &other_address).await.is_ok());

    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("limits_refusals_total{limit=\"connections\"}"), 1.0);
    assert_eq!(chat.visitor.close().await, 1000);
}

#[tokio::test]
async fn forwarded_header_of_an_untrusted_peer_is_ignored_and_logged_once() {
    let chat = Chat::new(&[(MAX_CONNECTIONS, "1")]).await;

    let rejection = ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await.err();
    assert_eq!(rejection.map(|rejection| rejection.status), Some(429));

    // The peer may be a proxy missing from the settings; then all visitors share one address.
    let is_warning = |line: &Value| line["msg"].as_str().is_some_and(|msg| msg.contains("TRUSTED_PROXIES"));
    let line = chat.server.wait_for_log("the warning about the proxy", is_warning).await;
    assert_eq!((&line["level"], &line["peer"]), (&json!("warning"), &json!("127.0.0.1")), "{line}");

    drop(ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await);
    assert_eq!(chat.server.logs().iter().filter(|line| is_warning(line)).count(), 1);
}

#[tokio::test]
async fn trusted_proxy_header_is_read_from_the_right() {
    let chat = Chat::new(&[(MAX_CONNECTIONS, "1"), ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;

    let first = ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await;
    assert!(first.is_ok());

    // Entries further left are written by the client itself.
    let forged = ChatClient::connect_with(&chat.server, &forwarded_for("198.51.100.1, 203.0.113.7")).await;
    assert_eq!(forged.err().map(|rejection| rejection.status), Some(429));
    assert!(ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.8")).await.is_ok());
}

#[tokio::test]
async fn session_limit_per_hour_rejects_new_sessions_but_not_resumes() {
    let mut chat = Chat::new(&[(SESSIONS_PER_HOUR, "2")]).await;
    let session = chat.visitor.start().await;

    chat.connect().await.start().await;
    let mut third = chat.connect().await;
    third.ask_with_id("q1", "May I?").await;
    let error = third.expect_error("RATE_LIMIT_EXCEEDED").await;

    assert_eq!(error["id"], "q1");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait > 3_500_000), "{error}");

    // A resume does not start a session.
    chat.connect().await.resume(&session, serde_json::json!(null)).await;
}

#[tokio::test]
async fn question_limit_of_an_address_applies_across_sessions() {
    let mut chat = Chat::new(&[(QUESTIONS_PER_MINUTE, "2")]).await;

    chat.visitor.ask_and_wait("One?").await;
    let mut other = chat.connect().await;
    other.ask_and_wait("Two?").await;
    other.ask("Three?").await;
    let error = other.expect_error("RATE_LIMIT_EXCEEDED").await;

    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| (1..=60_000).contains(&wait)), "{error}");
    assert_eq!(chat.upstream.requests().len(), 2);

    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("limits_refusals_total{limit=\"questions\"}"), 1.0);
    assert_eq!(
        (scrape.value("limits_asking_addresses"), scrape.value("limits_starting_addresses")),
        (1.0, 1.0)
    );
}
