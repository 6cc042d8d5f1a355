//! Clock skew between instances: conversations keep their order, and rate limits stay bounded.

use std::time::Duration;

use resume_chatbot::domain::clock::Timestamp;
use serde_json::{Value, json};
use uuid::Builder;

use crate::on_both_stores;
use crate::support::client::answer::{contents, cursor_at};
use crate::support::client::chat::{Chat, receive_text};
use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const HOUR: Duration = Duration::from_secs(3600);

/// Inserts a turn as an instance with a clock one hour ahead would store it.
async fn insert_turn_one_hour_ahead(store: &FreshStore, session_id: &str, question: &str, answer: &str) {
    let Timestamp(ms) = Timestamp::now().plus(HOUR);
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    let turn = Builder::from_unix_timestamp_millis(ms.unsigned_abs(), &random).into_uuid();
    let statements = format!(
        "INSERT INTO turns (id, session_id, status, mode, asked_at_ms, ended_at_ms, answered_by)
            VALUES ('{turn}', '{session_id}', 'complete', 'live', {ms}, {ms}, 'another server');
        INSERT INTO messages (turn_id, role, content, tokens, created_at_ms) VALUES
            ('{turn}', 'user', '{question}', 2, {ms}), ('{turn}', 'assistant', '{answer}', 2, {ms});"
    );
    store.execute(&statements).await;
}

on_both_stores! {
    async fn turn_order_is_kept_on_an_instance_with_a_slow_clock(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One."]));

        chat.visitor.ask_and_wait("First?").await;
        insert_turn_one_hour_ahead(&store, &session.session_id, "Second?", "Two.").await;
        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, Value::Null).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["Three, ", "or more."]).hold_after(1, &gate));
        chat.visitor.ask("Third?").await;
        let shown = receive_text(&mut chat.visitor, "Three, ").await;
        chat.visitor = chat.connect().await;
        let back = chat.visitor.resume(&session, cursor_at(&shown)).await.frame;

        assert_eq!(back["recovered"], true, "the answer in progress was not found: {back}");

        gate.open();
        let rest = chat.visitor.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("or more.", "complete"));

        chat.upstream.queue(Script::from_words(&["Three."]));
        chat.visitor.regenerate(None).await;
        let all = chat.visitor.history(json!({})).await;
        let expected = ["First?", "One.", "Second?", "Two.", "Third?", "Three, or more.", "Third?", "Three."];

        assert_eq!(contents(&all["messages"]), expected);

        for _ in 0..2 {
            chat.upstream.next_request().await;
        }
        let prompt = chat.upstream.next_request().await;
        assert_eq!(prompt.conversation(), ["First?", "One.", "Second?", "Two.", "Third?"]);
    }

    async fn rate_limit_wait_is_bounded_for_turns_from_the_future(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "2")]).await;
        let session = chat.visitor.start().await;

        for question in ["One?", "Two?"] {
            insert_turn_one_hour_ahead(&store, &session.session_id, question, "Yes.").await;
        }
        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, Value::Null).await;
        chat.visitor.ask("Three?").await;
        let rejected = chat.visitor.expect_error("RATE_LIMIT_EXCEEDED").await;

        assert!(rejected["retry_after_ms"].as_u64().is_some_and(|wait| wait <= 60_000), "{rejected}");
    }
}
