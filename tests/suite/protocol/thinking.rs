//! The `thinking` frame: a model thinks before its first word. What it thinks stays at the server.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::Answer;
use crate::support::client::chat::{Chat, receive_text};
use crate::support::client::event_stream::{StreamClient, question};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const THOUGHTS: [&str; 2] = ["secretthought one", "secretthought two"];

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["type"].as_str()).collect()
}

fn thinking_frames(answer: &Answer) -> usize {
    answer.other_frames.iter().filter(|frame| frame["type"] == "thinking").count()
}

on_both_stores! {
    async fn thinking_is_announced_once_before_the_first_word_and_never_shown(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("LOG_LEVEL", "trace")]).await;
        let gate = Gate::default();
        let script = Script::new().reasoning(&THOUGHTS).words(&["She ", "builds."]);
        chat.upstream.queue(script.hold_after(2, &gate));

        chat.visitor.ask("What does she do?").await;
        let frames = chat.visitor.receive_until("thinking").await;
        assert_eq!(kinds(&frames), ["session", "accepted", "thinking"]);
        let turn_id = &frames[1]["turn_id"];
        assert_eq!(frames[2], json!({"type": "thinking", "turn_id": turn_id}));

        gate.open();
        let answer = chat.visitor.receive_rest().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("She builds.", "complete"));
        assert_eq!(thinking_frames(&answer), 0);
        chat.visitor.expect_no_more_frames().await;

        chat.visitor.ask_and_wait("And before?").await;
        let seen = [
            json!(chat.visitor.frames()).to_string(),
            json!(chat.server.logs()).to_string(),
            store.query_texts("SELECT content FROM messages").await.concat(),
            json!(chat.upstream.requests().iter().map(|request| &request.body).collect::<Vec<_>>()).to_string(),
        ];
        for text in seen {
            assert!(!text.contains("secretthought"), "{text}");
        }
    }
}

#[tokio::test]
async fn every_attempt_that_thinks_announces_it_before_its_text() {
    let mut chat = Chat::new(&[("LLM_MAX_RETRIES", "2"), ("DEGRADED_MODE", "off")]).await;
    let [first, second] = [Gate::default(), Gate::default()];
    let thinking = || Script::new().reasoning(&THOUGHTS);
    chat.upstream.queue(thinking().hold_after(2, &first).drop_connection_after(2));
    chat.upstream.queue(thinking().words(&["Half "]).hold_after(3, &second).drop_connection_after(3));
    chat.upstream.queue(thinking().words(&["All ", "of it."]));

    chat.visitor.ask("Is it whole?").await;
    assert_eq!(kinds(&chat.visitor.receive_until("thinking").await), ["session", "accepted", "thinking"]);
    first.open();
    assert_eq!(kinds(&chat.visitor.receive_until("delta").await), ["thinking", "delta"]);
    second.open();
    // The text of the second attempt stays until the third has text.
    assert_eq!(kinds(&chat.visitor.receive_until("delta").await), ["reset", "thinking", "delta"]);
    assert_eq!(chat.visitor.receive_until("done").await.pop().unwrap()["status"], "complete");
}

#[tokio::test]
async fn client_that_resumes_during_the_thinking_is_told_again() {
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::new().reasoning(&THOUGHTS).words(&["Yes."]).hold_after(2, &gate));

    let session = chat.visitor.start().await;
    chat.visitor.ask("Do you think?").await;
    chat.visitor.expect_frame("accepted").await;
    let thinking = chat.visitor.expect_frame("thinking").await;
    chat.drop_and_reconnect().await;
    chat.visitor.resume(&session, json!({"turn_id": thinking["turn_id"], "seq": 0})).await;
    assert_eq!(chat.visitor.expect_frame("thinking").await, thinking);

    gate.open();
    receive_text(&mut chat.visitor, "Yes.").await;
    chat.drop_and_reconnect().await;
    chat.visitor.resume(&session, json!({"turn_id": thinking["turn_id"], "seq": 0})).await;
    let frames = chat.visitor.receive_until("done").await;
    assert_eq!(kinds(&frames), ["delta", "done"], "{frames:?}");
}

#[tokio::test]
async fn event_stream_carries_the_thinking_too() {
    let chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::new().reasoning(&THOUGHTS).words(&["Yes."]).hold_after(2, &gate));

    let mut visitor = StreamClient::open(&chat.server, &[question("Do you think?")]).await;
    visitor.expect_session().await;
    visitor.expect_frame("accepted").await;
    let id = visitor.last_event_id.clone();
    visitor.expect_frame("thinking").await;
    assert_eq!(visitor.last_event_id, id, "thinking moves no position");

    gate.open();
    assert_eq!(visitor.receive_rest().await.text, "Yes.");
}
