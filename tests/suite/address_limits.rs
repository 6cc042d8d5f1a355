//! What one client address may take, whoever it says it is.

use serde_json::{Value, json};

use crate::support::chat::Chat;
use crate::support::chat_client::ChatClient;
use crate::support::handshake::Handshake;
use crate::support::scrape::Scrape;

const ONE: &str = "MAX_CONNECTIONS_PER_ADDRESS";
const SESSIONS: &str = "SESSIONS_PER_HOUR_PER_ADDRESS";
const QUESTIONS: &str = "QUESTIONS_PER_MINUTE_PER_ADDRESS";

fn forwarded_for(addresses: &str) -> Handshake {
    Handshake::new().header("X-Forwarded-For", addresses)
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_another_has_its_own() {
    let chat = Chat::with(&[(ONE, "1")]).await;
    let refused = ChatClient::connect_with(&chat.server, &Handshake::new()).await.err();
    let refused = refused.map(|it| (it.status, it.body["code"].clone(), it.header("retry-after").is_some()));
    assert_eq!(refused, Some((429, "RATE_LIMIT_EXCEEDED".into(), true)));
    let elsewhere = Handshake::new().coming_from("127.0.0.2");
    assert!(ChatClient::connect_with(&chat.server, &elsewhere).await.is_ok());
    let scrape = Scrape::of(&chat.server).await;
    assert_eq!(scrape.value("limits_rejections_total{limit=\"connections\"}"), 1.0);
    assert_eq!(chat.visitor.leave().await, 1000);
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_proxy() {
    let chat = Chat::with(&[(ONE, "1")]).await;
    let refused = ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await.err();
    assert_eq!(refused.map(|it| it.status), Some(429));
    // It may be a proxy that its owner forgot to name: then all visitors share the limits of one address.
    let told = |line: &Value| line["msg"].as_str().is_some_and(|it| it.contains("TRUSTED_PROXIES"));
    let line = chat.server.wait_for_log("that a proxy is not believed", told).await;
    assert_eq!((&line["level"], &line["peer"]), (&json!("warning"), &json!("127.0.0.1")), "{line}");
    drop(ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await);
    assert_eq!(chat.server.logs().iter().filter(|line| told(line)).count(), 1);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_from_the_right_end() {
    let chat = Chat::with(&[(ONE, "1"), ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let first = ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.7")).await;
    assert!(first.is_ok());
    // What stands further left was written by the client itself.
    let forged = ChatClient::connect_with(&chat.server, &forwarded_for("198.51.100.1, 203.0.113.7")).await;
    assert_eq!(forged.err().map(|it| it.status), Some(429));
    assert!(ChatClient::connect_with(&chat.server, &forwarded_for("203.0.113.8")).await.is_ok());
}

#[tokio::test]
async fn an_address_starts_so_many_sessions_in_an_hour() {
    let mut chat = Chat::with(&[(SESSIONS, "2")]).await;
    let session = chat.visitor.start().await;
    chat.another().await.start().await;
    let mut third = chat.another().await;
    third.ask_with_id("q1", "May I?").await;
    let error = third.hear_error("RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["id"], "q1");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait > 3_500_000), "{error}");
    // Coming back is no new session.
    chat.another().await.resume(&session, serde_json::json!(null)).await;
}

#[tokio::test]
async fn a_new_session_is_no_way_round_the_questions_of_an_address() {
    let mut chat = Chat::with(&[(QUESTIONS, "2")]).await;
    chat.visitor.ask_and_hear("One?").await;
    let mut other = chat.another().await;
    other.ask_and_hear("Two?").await;
    other.ask("Three?").await;
    let error = other.hear_error("RATE_LIMIT_EXCEEDED").await;
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| (1..=60_000).contains(&wait)), "{error}");
    assert_eq!(chat.upstream.requests().len(), 2);
    let scrape = Scrape::of(&chat.server).await;
    assert_eq!(scrape.value("limits_rejections_total{limit=\"questions\"}"), 1.0);
    assert_eq!(
        (
            scrape.value("limits_tracked_addresses{window=\"questions\"}"),
            scrape.value("limits_tracked_addresses{window=\"sessions\"}")
        ),
        (1.0, 1.0)
    );
}
