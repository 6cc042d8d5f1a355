//! Who may ask how often, how many at once, and from where.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::SessionInfo;
use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::{Handshake, Refusal};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const THREE: (&str, &str) = ("RATE_LIMIT_REQUESTS_PER_MINUTE", "3");

async fn is_over_the_limit(visitor: &mut ChatClient) {
    visitor.ask_with_id("one-too-many", "One more?").await;
    let error = visitor.hear_error("RATE_LIMIT_EXCEEDED").await;
    let wait = error["retry_after_ms"].as_u64().unwrap_or_default();
    assert!((1..=60_000).contains(&wait), "{error}");
    assert_eq!((&error["retryable"], &error["id"]), (&json!(true), &json!("one-too-many")));
}

on_both_stores! {
    async fn the_fourth_question_of_a_minute_is_refused_and_coming_back_does_not_help(store: FreshStore) {
        let mut chat = Chat::on(&store, &[THREE]).await;
        let session = chat.visitor.start().await;
        assert_eq!(session.frame["limits"]["remaining"], 3);
        for left in [2, 1, 0] {
            let answer = chat.visitor.ask_and_hear("Who?").await;
            assert_eq!((&answer.accepted["remaining"], &answer.done["remaining"]), (&json!(left), &json!(left)));
        }
        is_over_the_limit(&mut chat.visitor).await;
        assert_eq!(chat.upstream.requests().len(), 3);

        let mut again = chat.another().await;
        assert_eq!(again.resume(&session, json!(null)).await.frame["limits"]["remaining"], 0);
        is_over_the_limit(&mut again).await;

        chat.server.restart().await;
        let mut afterwards = chat.another().await;
        assert_eq!(afterwards.resume(&session, json!(null)).await.frame["limits"]["remaining"], 0);
        is_over_the_limit(&mut afterwards).await;
        assert_eq!(chat.upstream.requests().len(), 3);
    }

    async fn a_question_a_minute_old_no_longer_counts(store: FreshStore) {
        let chat = Chat::on(&store, &[THREE]).await;
        let mut visitor = chat.another().await;
        let session = visitor.start().await;
        for _ in 0..3 {
            visitor.ask_and_hear("Who?").await;
        }
        store.execute("UPDATE turns SET asked_at_ms = asked_at_ms - 60000").await;
        let mut again = chat.another().await;
        assert_eq!(again.resume(&session, json!(null)).await.frame["limits"]["remaining"], 3);
        assert_eq!(again.ask_and_hear("Who?").await.done["remaining"], 2);
    }

    async fn more_questions_in_a_minute_than_are_loaded_count_all_of_them(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "110")]).await;
        let session = chat.visitor.start().await;
        for _ in 0..102 {
            chat.visitor.ask_and_hear("Who?").await;
        }
        let back = chat.another().await.resume(&session, json!(null)).await.frame;
        assert_eq!((&back["limits"]["remaining"], &back["more"]), (&json!(8), &json!(true)), "{back}");
    }
}

#[tokio::test]
async fn a_question_that_is_refused_costs_nothing() {
    let mut chat = Chat::with(&[THREE]).await;
    chat.visitor.start().await;
    chat.visitor.ask(&"x".repeat(2_001)).await;
    chat.visitor.hear_error("MESSAGE_TOO_LONG").await;
    chat.visitor.ask(" ").await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One."]).hold_before_headers(&gate));
    chat.visitor.ask("Count, please.").await;
    assert_eq!(chat.visitor.hear_type("accepted").await["remaining"], 2);
    chat.visitor.ask("And now?").await;
    chat.visitor.hear_error("TURN_IN_PROGRESS").await;
    gate.open();
    assert_eq!(chat.visitor.rest_of_answer().await.done["remaining"], 2);
    chat.visitor.ask_with_id("a", "Who?").await;
    assert_eq!(chat.visitor.answer().await.done["remaining"], 1);
    chat.visitor.ask_with_id("a", "Who?").await;
    let again = chat.visitor.answer().await;
    assert_eq!((&again.accepted["duplicate"], &again.done["remaining"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn a_question_beyond_what_may_be_under_way_is_refused_and_gives_its_place_back() {
    let mut chat = Chat::with(&[("LLM_MAX_CONCURRENCY", "1"), ("LLM_MAX_QUEUE", "0"), THREE]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
    chat.visitor.ask("Count, please.").await;
    gate.reached().await;

    let mut other = chat.another().await;
    other.start().await;
    other.ask_with_id("q", "And me?").await;
    let error = other.hear_error("OVERLOADED").await;
    assert_eq!((&error["retryable"], &error["id"]), (&json!(true), &json!("q")));
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{error}");
    assert!(error.get("turn_id").is_none(), "it never was a turn: {error}");

    gate.open();
    assert_eq!(chat.visitor.answer().await.status(), "complete");
    let asked_again = loop {
        // The place is free a moment after the answer's end.
        other.ask_with_id("q", "And me?").await;
        if other.hear().await["type"] == "accepted" {
            break other.rest_of_answer().await;
        }
    };
    assert_eq!(asked_again.done["remaining"], 2, "the refused question cost nothing");
    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn questions_beyond_the_concurrency_wait_for_their_turn() {
    let mut chat = Chat::with(&[("LLM_MAX_CONCURRENCY", "1"), ("LLM_MAX_QUEUE", "1")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One."]).hold_after(1, &gate));
    chat.visitor.ask("First?").await;
    gate.reached().await;
    let mut second = chat.another().await;
    second.ask("Second?").await;
    second.hear_until("accepted").await;
    let mut third = chat.another().await;
    third.ask("Third?").await;
    third.hear_type("session").await;
    third.hear_error("OVERLOADED").await;
    assert_eq!(chat.upstream.requests().len(), 1);
    gate.open();
    assert_eq!(chat.visitor.answer().await.status(), "complete");
    assert_eq!(second.rest_of_answer().await.status(), "complete");
}

fn assert_refused(refusal: &Refusal, status: u16, code: &str) {
    assert_eq!(refusal.status, status, "{refusal:?}");
    assert_eq!(refusal.body["code"], code, "{refusal:?}");
    assert!(refusal.body["message"].is_string() && refusal.body["retryable"].is_boolean(), "{refusal:?}");
    assert_eq!(refusal.body["request_id"].as_str(), refusal.header("x-request-id"), "{refusal:?}");
    assert!(
        refusal.header("content-type").is_some_and(|it| it.starts_with("application/json")),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn a_connection_too_many_is_refused_until_another_leaves() {
    let mut chat = Chat::with(&[("MAX_CONNECTIONS", "2")]).await;
    let second = chat.another().await;
    let Err(refusal) = ChatClient::connect_with(&chat.server, &Handshake::new()).await else {
        return assert!(chat.server.logs().is_empty(), "a third connection was let in");
    };
    assert_refused(&refusal, 503, "OVERLOADED");
    let seconds = refusal.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert_eq!(refusal.body["retry_after_ms"], json!(seconds.map(|seconds| seconds * 1000)));

    assert_eq!(second.leave().await, 1000);
    let third = loop {
        // The place is free a moment after the close frame.
        if let Ok(client) = ChatClient::connect_with(&chat.server, &Handshake::new()).await {
            break client;
        }
    };
    drop(third);
    chat.visitor.hear_nothing_more().await;
}

async fn knock(chat: &Chat, origin: Option<&str>) -> Result<SessionInfo, Value> {
    let handshake = origin.map_or_else(Handshake::new, |origin| Handshake::new().origin(origin));
    match ChatClient::connect_with(&chat.server, &handshake).await {
        Ok(mut client) => Ok(client.start().await),
        Err(refusal) => {
            assert_refused(&refusal, 403, "NOT_AUTHORIZED");
            Err(refusal.body)
        }
    }
}

#[tokio::test]
async fn only_pages_of_this_server_and_of_listed_origins_may_connect() {
    let listed = "https://ada.example, http://localhost:3000";
    let chat = Chat::with(&[("ALLOWED_ORIGINS", listed)]).await;
    let own = format!("http://{}", chat.server.address());
    for origin in [own.as_str(), "https://ada.example", "HTTPS://Ada.Example", "http://localhost:3000"] {
        assert!(knock(&chat, Some(origin)).await.is_ok(), "{origin}");
    }
    for origin in [
        "https://evil.example",
        "https://ada.example.evil.example",
        "https://www.ada.example",
        "http://ada.example",
        "http://localhost:3001",
        "http://127.0.0.1",
        "null",
        "",
    ] {
        assert!(knock(&chat, Some(origin)).await.is_err(), "{origin}");
    }
    assert!(knock(&chat, None).await.is_ok(), "a program that is no browser");
}

#[tokio::test]
async fn clients_without_an_origin_can_be_kept_out() {
    let upstream = FakeOpenRouter::start().await;
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("ALLOW_MISSING_ORIGIN", "false");
    let server = Server::start(config).await;
    let refused = ChatClient::connect_with(&server, &Handshake::new()).await.err();
    assert!(refused.is_some(), "a client without an origin was let in");
    refused.iter().for_each(|refusal| assert_refused(refusal, 403, "NOT_AUTHORIZED"));
    let own = format!("http://{}", server.address());
    assert!(ChatClient::connect_with(&server, &Handshake::new().origin(&own)).await.is_ok());
}
