//! The line in front of a model that is busy: positions, turns between visitors, and an end to waiting.

use serde_json::{Value, json};

use crate::support::chat::Chat;
use crate::support::chat_client::ChatClient;
use crate::support::gate::Gate;
use crate::support::handshake::Handshake;
use crate::support::scrape::Scrape;
use crate::support::script::Script;

const ONE_PLACE: (&str, &str) = ("LLM_MAX_CONCURRENCY", "1");

/// A visitor from an address of this machine, with a session.
async fn from(chat: &Chat, address: &str) -> ChatClient {
    let handshake = Handshake::new().coming_from(address);
    let mut visitor = ChatClient::connect_with(&chat.server, &handshake).await.unwrap();
    visitor.start().await;
    visitor
}

/// Asks, and hears the position it is told first.
async fn stands_at(visitor: &mut ChatClient, question: &str) -> Value {
    visitor.ask(question).await;
    let accepted = visitor.hear_type("accepted").await;
    let queued = visitor.hear_type("queued").await;
    assert_eq!(queued["turn_id"], accepted["turn_id"]);
    queued["position"].clone()
}

#[tokio::test]
async fn one_busy_visitor_does_not_keep_another_waiting_for_all_of_its_questions() {
    let chat = Chat::with(&[ONE_PLACE]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["Held."]).hold_after(1, &gate));
    let mut first = from(&chat, "127.0.0.1").await;
    first.ask("Who holds the place?").await;
    gate.reached().await;
    let mut busy = Vec::new();
    for (number, position) in [("one", 1), ("two", 2), ("three", 3)] {
        let mut visitor = from(&chat, "127.0.0.1").await;
        assert_eq!(stands_at(&mut visitor, number).await, position);
        busy.push(visitor);
    }
    let mut other = from(&chat, "127.0.0.2").await;
    assert_eq!(stands_at(&mut other, "other").await, 2);
    // Whom it passed is told so.
    assert_eq!(busy[1].hear_type("queued").await["position"], 3);
    assert_eq!(Scrape::of(&chat.server).await.value("upstream_queue_depth"), 4.0);
    gate.open();
    for visitor in busy.iter_mut().chain([&mut other]) {
        assert_eq!(visitor.hear_until("done").await.pop().unwrap()["status"], "complete");
    }
    let asked: Vec<Value> =
        chat.upstream.requests().iter().map(|it| it.messages().last().unwrap()["content"].clone()).collect();
    assert_eq!(asked, ["Who holds the place?", "one", "other", "two", "three"]);
}

#[tokio::test]
async fn who_has_waited_too_long_is_told_and_can_ask_again() {
    let mut chat = Chat::with(&[ONE_PLACE, ("LLM_QUEUE_TIMEOUT", "300ms")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["Held."]).hold_after(1, &gate));
    chat.visitor.ask("Who holds the place?").await;
    gate.reached().await;
    let mut waits = from(&chat, "127.0.0.2").await;
    assert_eq!(stands_at(&mut waits, "Now?").await, 1);
    let error = waits.hear_error("OVERLOADED").await;
    assert_eq!(error["retryable"], true);
    let done = waits.hear_type("done").await;
    assert_eq!((&done["status"], &done["usage"]["prompt_tokens"]), (&json!("failed"), &json!(0)), "{done}");
    let scrape = Scrape::of(&chat.server).await;
    assert_eq!(scrape.value("upstream_queue_rejections_total{reason=\"timed_out\"}"), 1.0);
    assert_eq!(scrape.value("budget_used_tokens"), 0.0);
    gate.open();
    assert_eq!(chat.visitor.hear_until("done").await.pop().unwrap()["status"], "complete");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_wait_that_would_be_too_long_is_refused_at_once_with_the_time_to_come_back() {
    let mut chat = Chat::with(&[ONE_PLACE, ("LLM_QUEUE_TIMEOUT", "100ms")]).await;
    let slow = || Script::of(&["Slow ", "and ", "steady."]).every(std::time::Duration::from_millis(200));
    chat.upstream.queue(slow());
    chat.visitor.ask_and_hear("How long does it take?").await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["Held."]).hold_after(1, &gate));
    chat.visitor.ask("Who holds the place?").await;
    gate.reached().await;
    let mut late = from(&chat, "127.0.0.2").await;
    late.ask_with_id("late", "And me?").await;
    let error = late.hear_error("OVERLOADED").await;
    assert_eq!(error["id"], "late");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 300), "{error}");
    assert!(error.get("turn_id").is_none(), "it never was a turn: {error}");
    let scrape = Scrape::of(&chat.server).await;
    assert_eq!(scrape.value("upstream_queue_rejections_total{reason=\"full\"}"), 1.0);
    gate.open();
}

#[tokio::test]
async fn who_stops_waiting_gives_its_position_up_and_costs_nothing() {
    let mut chat = Chat::with(&[ONE_PLACE]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["Held."]).hold_after(1, &gate));
    chat.visitor.ask("Who holds the place?").await;
    gate.reached().await;
    let (mut first, mut second) = (from(&chat, "127.0.0.2").await, from(&chat, "127.0.0.3").await);
    assert_eq!(stands_at(&mut first, "First?").await, 1);
    assert_eq!(stands_at(&mut second, "Second?").await, 2);
    first.say(json!({"type": "cancel"})).await;
    let done = first.hear_until("done").await.pop().unwrap();
    assert_eq!(
        (&done["status"], &done["usage"]["prompt_tokens"]),
        (&json!("cancelled"), &json!(0)),
        "{done}"
    );
    assert_eq!(second.hear_type("queued").await["position"], 1);
    gate.open();
    assert_eq!(second.hear_until("done").await.pop().unwrap()["status"], "complete");
    assert_eq!(chat.upstream.requests().len(), 2);
}
