//! Clocks that differ between servers, or that somebody has set back: a conversation keeps its order all the same.

use std::time::Duration;

use resume_chatbot::domain::clock::Timestamp;
use serde_json::{Value, json};
use uuid::Builder;

use crate::on_both_stores;
use crate::support::answer::{contents, cursor_at};
use crate::support::chat::{Chat, hear_text};
use crate::support::gate::Gate;
use crate::support::script::Script;
use crate::support::stores::FreshStore;

const HOUR: Duration = Duration::from_secs(3600);

/// Stores a turn as a server does whose clock is an hour ahead.
async fn ask_an_hour_ahead(store: &FreshStore, session_id: &str, question: &str, answer: &str) {
    let Timestamp(ms) = Timestamp::now().plus(HOUR);
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    let turn = Builder::from_unix_timestamp_millis(ms.unsigned_abs(), &random).into_uuid();
    let statements = format!(
        "INSERT INTO turns (id, session_id, status, mode, asked_at_ms, ended_at_ms, answered_by)
            VALUES ('{turn}', '{session_id}', 'complete', 'live', {ms}, {ms}, 'another server');
        INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms) VALUES
            ('{turn}', 'user', '{question}', 2, {ms}), ('{turn}', 'assistant', '{answer}', 2, {ms});"
    );
    store.execute(&statements).await;
}

on_both_stores! {
    async fn what_is_asked_next_comes_next_at_a_server_whose_clock_is_behind(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One."]));
        chat.visitor.ask_and_hear("First?").await;
        ask_an_hour_ahead(&store, &session.session_id, "Second?", "Two.").await;
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, Value::Null).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["Three, ", "or more."]).hold_after(1, &gate));
        chat.visitor.ask("Third?").await;
        let shown = hear_text(&mut chat.visitor, "Three, ").await;
        chat.visitor = chat.another().await;
        let back = chat.visitor.resume(&session, cursor_at(&shown)).await.frame;
        assert_eq!(back["recovered"], true, "the answer under way is found: {back}");
        gate.open();
        let rest = chat.visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("or more.", "complete"));
        chat.upstream.queue(Script::of(&["Three."]));
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

    async fn questions_of_an_hour_ahead_keep_nobody_waiting_for_an_hour(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "2")]).await;
        let session = chat.visitor.start().await;
        for question in ["One?", "Two?"] {
            ask_an_hour_ahead(&store, &session.session_id, question, "Yes.").await;
        }
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, Value::Null).await;
        chat.visitor.ask("Three?").await;
        let refused = chat.visitor.hear_error("RATE_LIMIT_EXCEEDED").await;
        assert!(refused["retry_after_ms"].as_u64().is_some_and(|wait| wait <= 60_000), "{refused}");
    }
}
