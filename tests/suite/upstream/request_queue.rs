//! The queue in front of a busy model server: positions, fairness between visitors, and timeouts.

use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::server::metrics_scrape::Scrape;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const ONE_AT_A_TIME: (&str, &str) = ("LLM_MAX_CONCURRENCY", "1");

/// Connects from this local address and starts a session.
async fn connect_from(chat: &Chat, address: &str) -> ChatClient {
    let handshake = Handshake::new().with_local_address(address);
    let mut visitor = ChatClient::connect_with(&chat.server, &handshake).await.unwrap();
    visitor.start().await;
    visitor
}

/// Asks a question, and returns its first position in the queue.
async fn ask_and_receive_position(visitor: &mut ChatClient, question: &str) -> Value {
    visitor.ask(question).await;
    let accepted = visitor.expect_frame("accepted").await;
    let queued = visitor.expect_frame("queued").await;
    assert_eq!(queued["turn_id"], accepted["turn_id"]);
    queued["position"].clone()
}

#[tokio::test]
async fn queue_alternates_between_addresses() {
    let chat = Chat::new(&[ONE_AT_A_TIME]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Held."]).hold_after(1, &gate));

    let mut first = connect_from(&chat, "127.0.0.1").await;
    first.ask("Who holds the place?").await;
    gate.wait_until_reached().await;
    let mut busy = Vec::new();

    for (number, position) in [("one", 1), ("two", 2), ("three", 3)] {
        let mut visitor = connect_from(&chat, "127.0.0.1").await;
        assert_eq!(ask_and_receive_position(&mut visitor, number).await, position);
        busy.push(visitor);
    }

    let mut other = connect_from(&chat, "127.0.0.2").await;
    assert_eq!(ask_and_receive_position(&mut other, "other").await, 2);
    // A question that was overtaken gets its new position.
    assert_eq!(busy[1].expect_frame("queued").await["position"], 3);
    assert_eq!(Scrape::fetch(&chat.server).await.value("upstream_questions_waiting"), 4.0);

    gate.open();
    for visitor in busy.iter_mut().chain([&mut other]) {
        assert_eq!(visitor.receive_until("done").await.pop().unwrap()["status"], "complete");
    }

    let asked: Vec<Value> = chat
        .upstream
        .requests()
        .iter()
        .map(|request| request.messages().last().unwrap()["content"].clone())
        .collect();
    assert_eq!(asked, ["Who holds the place?", "one", "other", "two", "three"]);
}

#[tokio::test]
async fn question_fails_after_the_queue_timeout() {
    let mut chat = Chat::new(&[ONE_AT_A_TIME, ("LLM_QUEUE_TIMEOUT", "300ms")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Held."]).hold_after(1, &gate));

    chat.visitor.ask("Who holds the place?").await;
    gate.wait_until_reached().await;
    let mut waiting = connect_from(&chat, "127.0.0.2").await;

    assert_eq!(ask_and_receive_position(&mut waiting, "Now?").await, 1);

    let error = waiting.expect_error("OVERLOADED").await;
    assert_eq!(error["retryable"], true);

    let done = waiting.expect_frame("done").await;
    assert_eq!((&done["status"], &done["usage"]["prompt_tokens"]), (&json!("failed"), &json!(0)), "{done}");

    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("upstream_line_refusals_total{when=\"after_waiting\"}"), 1.0);
    assert_eq!(scrape.value("budget_taken_tokens"), 0.0);

    gate.open();
    assert_eq!(chat.visitor.receive_until("done").await.pop().unwrap()["status"], "complete");
    assert_eq!(chat.upstream.requests().len(), 1);
}

#[tokio::test]
async fn question_with_too_long_an_expected_wait_is_rejected_immediately() {
    let mut chat = Chat::new(&[ONE_AT_A_TIME, ("LLM_QUEUE_TIMEOUT", "100ms")]).await;
    let slow =
        || Script::from_words(&["Slow ", "and ", "steady."]).every(std::time::Duration::from_millis(200));
    chat.upstream.queue(slow());
    chat.visitor.ask_and_wait("How long does it take?").await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Held."]).hold_after(1, &gate));
    chat.visitor.ask("Who holds the place?").await;
    gate.wait_until_reached().await;
    let mut late = connect_from(&chat, "127.0.0.2").await;
    late.ask_with_id("late", "And me?").await;
    let error = late.expect_error("OVERLOADED").await;

    assert_eq!(error["id"], "late");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 300), "{error}");
    assert!(error.get("turn_id").is_none(), "a rejected question has a turn: {error}");

    let scrape = Scrape::fetch(&chat.server).await;
    assert_eq!(scrape.value("upstream_line_refusals_total{when=\"at_once\"}"), 1.0);

    gate.open();
}

#[tokio::test]
async fn cancelled_question_leaves_the_queue_and_uses_no_tokens() {
    let mut chat = Chat::new(&[ONE_AT_A_TIME]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Held."]).hold_after(1, &gate));

    chat.visitor.ask("Who holds the place?").await;
    gate.wait_until_reached().await;
    let (mut first, mut second) =
        (connect_from(&chat, "127.0.0.2").await, connect_from(&chat, "127.0.0.3").await);

    assert_eq!(ask_and_receive_position(&mut first, "First?").await, 1);
    assert_eq!(ask_and_receive_position(&mut second, "Second?").await, 2);

    first.send(json!({"type": "cancel"})).await;
    let done = first.receive_until("done").await.pop().unwrap();
    assert_eq!(
        (&done["status"], &done["usage"]["prompt_tokens"]),
        (&json!("cancelled"), &json!(0)),
        "{done}"
    );
    assert_eq!(second.expect_frame("queued").await["position"], 1);

    gate.open();
    assert_eq!(second.receive_until("done").await.pop().unwrap()["status"], "complete");
    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn question_beyond_concurrency_and_queue_is_rejected_without_cost() {
    let mut chat =
        Chat::new(&[ONE_AT_A_TIME, ("LLM_MAX_QUEUE", "0"), ("RATE_LIMIT_REQUESTS_PER_MINUTE", "3")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
    chat.visitor.ask("Count, please.").await;
    gate.wait_until_reached().await;

    let mut other = chat.connect().await;
    other.start().await;

    other.ask_with_id("q", "And me?").await;
    let error = other.expect_error("OVERLOADED").await;
    assert_eq!((&error["retryable"], &error["id"]), (&json!(true), &json!("q")));
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{error}");
    assert!(error.get("turn_id").is_none(), "a rejected question has a turn: {error}");

    gate.open();
    assert_eq!(chat.visitor.receive_answer().await.status(), "complete");

    let asked_again = loop {
        // The slot becomes free shortly after the end of the answer.
        other.ask_with_id("q", "And me?").await;
        if other.receive().await["type"] == "accepted" {
            break other.receive_rest().await;
        }
    };
    assert_eq!(asked_again.done["remaining"], 2, "the rejected question counted");
    assert_eq!(chat.upstream.requests().len(), 2);
}

#[tokio::test]
async fn questions_beyond_the_concurrency_limit_wait_in_the_queue() {
    let mut chat = Chat::new(&[ONE_AT_A_TIME, ("LLM_MAX_QUEUE", "1")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One."]).hold_after(1, &gate));

    chat.visitor.ask("First?").await;
    gate.wait_until_reached().await;
    let mut second = chat.connect().await;
    second.ask("Second?").await;
    second.receive_until("accepted").await;
    let mut third = chat.connect().await;
    third.ask("Third?").await;

    third.expect_frame("session").await;
    third.expect_error("OVERLOADED").await;
    assert_eq!(chat.upstream.requests().len(), 1);

    gate.open();
    assert_eq!(chat.visitor.receive_answer().await.status(), "complete");
    assert_eq!(second.receive_rest().await.status(), "complete");
}
