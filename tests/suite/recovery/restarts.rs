//! Conversations after the server is killed or shut down at an arbitrary moment.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Returns role, content and status of each message.
fn message_summaries(messages: &Value) -> Vec<(&str, &str, &str)> {
    let messages = messages.as_array().into_iter().flatten();
    messages
        .filter_map(|message| {
            Some((message["role"].as_str()?, message["content"].as_str()?, message["status"].as_str()?))
        })
        .collect()
}

on_both_stores! {
    async fn answer_interrupted_by_a_kill_keeps_its_stored_part(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two ", "three."]).hang_after(2));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        receive_text(&mut chat.visitor, "One two ").await;
        let partial = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'One two '";
        wait_until_stored(&store, partial, 1).await;
        chat.kill_and_restart().await;

        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        assert_eq!(back["recovered"], false);

        let expected = [("user", "Count, please.", "interrupted"), ("assistant", "One two ", "interrupted")];
        assert_eq!(message_summaries(&back["history"]), expected);
        assert!(
            back["history"][1]["tokens"].as_u64().is_some_and(|tokens| tokens > 0),
            "{}",
            back["history"]
        );

        // A client repeats its question if it does not know whether it was stored.
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let again = chat.visitor.receive_answer().await;
        assert_eq!((again.text.as_str(), again.status()), ("One two ", "interrupted"));
        assert_eq!(again.accepted["duplicate"], true);

        chat.visitor.send(json!({"type": "history"})).await;
        assert_eq!(message_summaries(&chat.visitor.expect_frame("history").await["messages"]), expected);

        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'interrupted'", 1).await;
        assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn accepted_question_survives_a_kill_before_the_first_delta(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::new().hang_before_headers());

        chat.visitor.ask("Is it kept?").await;
        assert_eq!(chat.visitor.expect_frame("accepted").await["durable"], true);

        chat.kill_and_restart().await;
        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        assert_eq!(message_summaries(&back["history"]), [("user", "Is it kept?", "interrupted")]);
        assert_eq!(chat.visitor.ask_and_wait("And now?").await.status(), "complete");
    }

    async fn completed_turns_survive_a_kill(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two."])).queue(Script::from_words(&["Three."]));

        chat.visitor.ask_and_wait("Count, please.").await;
        let last = chat.visitor.ask_and_wait("Further?").await;
        assert_eq!(last.done["durable"], true);

        chat.kill_and_restart().await;
        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        let expected = [
            ("user", "Count, please.", "complete"),
            ("assistant", "One two.", "complete"),
            ("user", "Further?", "complete"),
            ("assistant", "Three.", "complete"),
        ];

        assert_eq!(message_summaries(&back["history"]), expected);
        assert_eq!(back["limits"]["remaining"], last.done["remaining"]);
    }

    async fn shutdown_waits_for_the_answer_in_progress(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.server.terminate().await;
        chat.visitor.receive_until("notice").await;
        gate.open();
        let rest = chat.visitor.receive_rest().await;

        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(chat.visitor.wait_for_close().await, 1012);

        chat.server.restart().await;
        let back = chat.connect().await.resume(&session, json!(null)).await.frame;
        let expected = [("user", "Count, please.", "complete"), ("assistant", "One two.", "complete")];

        assert_eq!(message_summaries(&back["history"]), expected);
    }
}
