//! Feedback on answers, and deleting a conversation on request of the visitor.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::cli::{run_json, run_ok};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::StoreKind;
use crate::support::upstream::script::Script;

/// Sends feedback on a turn, and returns the reply.
async fn send_feedback(visitor: &mut ChatClient, turn: &Value, rating: Value, comment: &str) -> Value {
    let feedback = json!({"type": "feedback", "turn_id": turn, "rating": rating, "comment": comment});
    visitor.send(feedback).await;
    visitor.receive().await
}

/// Returns the rating of each message.
fn ratings(messages: &Value) -> Vec<Option<Value>> {
    messages.as_array().into_iter().flatten().map(|message| message.get("rating").cloned()).collect()
}

on_both_stores! {
    async fn feedback_is_stored_changed_and_withdrawn(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        let turn = chat.visitor.ask_and_wait("Helpful?").await.done["turn_id"].clone();

        let saved = send_feedback(&mut chat.visitor, &turn, json!("up"), "").await;
        assert_eq!(saved, json!({"type": "feedback_saved", "turn_id": turn, "rating": "up"}));

        let comment = format!(" \u{202e}Not# \u{7}{}\n", "é".repeat(495));
        let changed = send_feedback(&mut chat.visitor, &turn, json!("down"), &comment).await;
        assert_eq!(changed["rating"], "down");

        send_feedback(&mut chat.visitor, &turn, json!("down"), &comment).await;
        assert_eq!(store.query_number("SELECT count(*) FROM feedback").await, 1);

        let transcript = chat.visitor.history(json!({})).await;
        assert_eq!(ratings(&transcript["messages"]), [None, Some(json!("down"))], "{transcript}");

        chat.kill_and_restart().await;
        let back = chat.visitor.resume(&session, Value::Null).await.frame;
        assert_eq!(ratings(&back["history"]), [None, Some(json!("down"))], "{back}");

        let withdrawn = send_feedback(&mut chat.visitor, &turn, Value::Null, "").await;
        assert_eq!(withdrawn, json!({"type": "feedback_saved", "turn_id": turn}));

        let transcript = chat.visitor.history(json!({})).await;
        assert_eq!(ratings(&transcript["messages"]), [None, None], "{transcript}");
        assert_eq!(store.query_number("SELECT count(*) FROM feedback").await, 0);
    }

    async fn feedback_is_cleaned_and_shown_by_the_commands(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let turn = chat.visitor.ask_and_wait("Helpful?").await.done["turn_id"].clone();
        let comment = format!(" \u{202e}Not# \u{7}{}\n", "é".repeat(495));
        let saved = send_feedback(&mut chat.visitor, &turn, json!("down"), &comment).await;
        assert_eq!(saved["rating"], "down");

        let cleaned = format!("Not# {}", "é".repeat(495));
        let shown = run_json(&store, &["conversations", "show", &session.session_id, "--json"]).await;
        let shown_turn = &shown["turns"][0];
        assert_eq!((&shown_turn["rating"], &shown_turn["comment"]), (&json!("down"), &json!(cleaned)));

        let exported = run_json(&store, &["conversations", "export", "--json"]).await;
        assert_eq!(exported[0]["turns"][0]["rating"], "down");

        let markdown = run_ok(&store, &["conversations", "show", &session.session_id]).await;
        assert!(markdown.contains(&format!("not helpful:\n\n> {cleaned}\n")), "{markdown}");
    }

    async fn invalid_feedback_is_rejected(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let turn = chat.visitor.ask_and_wait("Helpful?").await.done["turn_id"].clone();

        let rejected = send_feedback(&mut chat.visitor, &turn, json!("up"), &"x".repeat(501)).await;
        assert_eq!(rejected["code"], "MESSAGE_TOO_LONG");
        assert!(
            rejected["message"]
                .as_str()
                .is_some_and(|message| message.contains("501") && message.contains("500"))
        );

        let rejected = send_feedback(&mut chat.visitor, &turn, json!("sideways"), "").await;
        assert_eq!(rejected["code"], "VALIDATION_ERROR");
    }

    async fn feedback_requires_a_turn_of_the_own_session(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;

        let turn = chat.visitor.ask_and_wait("Whose?").await.done["turn_id"].clone();
        let mut other = chat.connect().await;
        let feedback = json!({"type": "feedback", "turn_id": turn, "rating": "down", "id": "r-1"});
        other.send(feedback.clone()).await;

        assert_eq!(other.expect_error("NO_SUCH_TURN").await["id"], "r-1");

        let session = other.start().await;
        other.send(feedback.clone()).await;
        assert_eq!(other.expect_error("NO_SUCH_TURN").await["id"], "r-1");

        other.send(json!({"type": "feedback", "turn_id": session.session_id, "rating": "down"})).await;
        other.expect_error("NO_SUCH_TURN").await;
        assert_eq!(store.query_number("SELECT count(*) FROM feedback").await, 0);

        chat.visitor.send(feedback).await;
        assert_eq!(chat.visitor.expect_frame("feedback_saved").await["id"], "r-1");
    }

    async fn forget_deletes_the_conversation_completely(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        let turn = chat.visitor.ask_and_wait("A secret marker?").await.done["turn_id"].clone();
        chat.visitor.regenerate(None).await;
        chat.visitor.send(json!({"type": "feedback", "turn_id": turn, "rating": "up"})).await;

        chat.visitor.expect_frame("feedback_saved").await;

        let mut other = chat.connect().await;
        other.ask_and_wait("Another's?").await;
        chat.visitor.send(json!({"type": "forget"})).await;

        chat.visitor.expect_frame("forgotten").await;
        assert_eq!(chat.visitor.wait_for_close().await, 1000);
        for (table, rows) in [("sessions", 1), ("turns", 1), ("messages", 2), ("feedback", 0)] {
            assert_eq!(store.query_number(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
        }

        if store.kind() == StoreKind::Sqlite {
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            let file = std::fs::read(store.url().trim_start_matches("sqlite://")).unwrap();
            let file_contains = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(
                file_contains("Another's?") && !file_contains("secret marker"),
                "deleted text is still in the file"
            );
        }

        for cursor in [Value::Null, json!({"turn_id": turn, "seq": 1})] {
            let mut back = chat.connect().await;
            back.send_resume(&session, cursor).await;
            back.expect_error("SESSION_NOT_FOUND").await;
        }

        other.ask_and_wait("Still there?").await;
    }

    async fn forget_cancels_the_answer_in_progress_first(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        let forgotten_at = Instant::now();
        chat.visitor.send(json!({"type": "forget"})).await;
        chat.visitor.ask("One more?").await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);
        assert!(forgotten_at.elapsed() < Duration::from_secs(1), "{:?}", forgotten_at.elapsed());

        let mut frames = Vec::new();
        while let Ok(frame) = chat.visitor.receive_or_close().await {
            frames.push((frame["type"].clone(), frame["status"].clone()));
        }
        let count = |kind: &str| frames.iter().filter(|(frame_type, _)| frame_type == kind).count();

        assert_eq!((count("done"), count("forgotten")), (1, 1), "{frames:?}");
        assert!(frames.contains(&(json!("done"), json!("cancelled"))), "{frames:?}");
        for table in ["sessions", "turns", "messages"] {
            assert_eq!(store.query_number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }

        // Pending writes of the deleted conversation are dropped.
        chat.drop_and_reconnect().await;
        chat.visitor.ask_and_wait("A new one?").await;

        assert_eq!(store.query_number("SELECT count(*) FROM sessions").await, 1);
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn delete_command_interrupts_the_answer_in_progress(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        run_ok(&store, &["conversations", "delete", "--yes", &session.session_id]).await;

        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);

        let end = chat.visitor.receive_rest().await;
        assert_eq!((end.status(), &end.done["durable"]), ("interrupted", &json!(false)));
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 0);
    }

    async fn forget_during_an_outage_is_rejected_until_all_writes_are_stored(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.visitor.start().await;
        chat.upstream.always(Script::from_words(&["Yes."]));

        let outage = store.take_offline().await;
        chat.visitor.ask("Kept?").await;
        let answer = chat.visitor.receive_answer().await;

        assert_eq!(answer.done["durable"], false);

        // The conversation cannot be deleted while writes for it are pending.
        chat.visitor.send(json!({"type": "forget"})).await;
        chat.visitor.expect_error("STORAGE_UNAVAILABLE").await;

        outage.end().await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        chat.visitor.send(json!({"type": "forget"})).await;

        chat.visitor.expect_frame("forgotten").await;
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 0);
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 0);
    }

    async fn connection_that_lost_its_session_can_neither_delete_nor_rate_it(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let mut first = chat.connect().await;

        let session = first.start().await;
        let turn = first.ask_and_wait("Mine?").await.done["turn_id"].clone();
        let other_server = Server::start(ServerConfig::serve(&store, &chat.upstream)).await;

        let feedback = json!({"type": "feedback", "turn_id": turn, "rating": "down"});
        for request in [feedback, json!({"type": "forget"})] {
            let mut older = chat.connect().await;
            older.resume(&session, Value::Null).await;
            ChatClient::connect(&other_server).await.resume(&session, Value::Null).await;
            older.send(request).await;
            older.expect_error("SESSION_NOT_FOUND").await;
            assert_eq!(older.wait_for_close().await, 4409);
        }

        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
    }
}

#[tokio::test]
async fn forget_before_a_session_is_rejected() {
    let mut chat = Chat::new(&[]).await;

    chat.visitor.send(json!({"type": "forget"})).await;
    chat.visitor.expect_error("VALIDATION_ERROR").await;

    chat.visitor.start().await;
}
