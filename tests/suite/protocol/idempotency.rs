//! Idempotency: a question repeated with the same `id` never causes a second answer or a second
//! charge.

use serde_json::json;

use crate::on_both_stores;
use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat::{Chat, FAIL_FAST, receive_text};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Repeats the question, and checks that the answer equals the first one.
async fn assert_replayed(chat: &mut Chat, first: &Answer) {
    chat.visitor.ask_with_id("q1", "Count, please.").await;
    let again = chat.visitor.receive_answer().await;
    assert_eq!(again.accepted["duplicate"], true);
    assert_eq!(again.accepted["id"], "q1");
    assert_eq!(again.turn_id(), first.turn_id());
    assert_eq!((&again.text, again.status()), (&first.text, first.status()));
    assert!(again.deltas.iter().all(|delta| delta["replay"] == true), "{again:?}");
    for field in ["mode", "model", "usage", "durable", "remaining"] {
        assert_eq!(again.done.get(field), first.done.get(field), "{field}");
    }
    chat.visitor.ask_with_id("q1", "Something else?").await;
    let error = chat.visitor.expect_error("DUPLICATE_ID").await;
    assert_eq!((&error["id"], &error["retryable"]), (&json!("q1"), &json!(false)));
    assert!(error.get("turn_id").is_none(), "{error}");
    assert_eq!(chat.upstream.requests().len(), 1);
}

on_both_stores! {
    async fn repeated_question_replays_its_answer_after_resume_and_restart(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).model("other/model"));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.receive_answer().await;
        assert_eq!(first.accepted["duplicate"], false);
        assert_replayed(&mut chat, &first).await;

        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, json!(null)).await;
        assert_replayed(&mut chat, &first).await;

        chat.server.kill().await;
        chat.server.restart().await;
        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, json!(null)).await;

        assert_replayed(&mut chat, &first).await;
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
    }

    async fn repeated_question_attaches_to_the_answer_in_progress(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let shown = receive_text(&mut chat.visitor, "One ").await;

        for reconnects in [false, true] {
            if reconnects {
                chat.visitor = chat.connect().await;
                chat.visitor.resume(&session, cursor_at(&shown)).await;
            }
            chat.visitor.ask_with_id("q1", "Something else?").await;
            chat.visitor.expect_error("DUPLICATE_ID").await;
            chat.visitor.ask_with_id("q1", "Count, please.").await;
            let attached = chat.visitor.expect_frame("accepted").await;
            assert_eq!((&attached["duplicate"], &attached["turn_id"]), (&json!(true), &shown["turn_id"]));
        }

        gate.open();
        let rest = chat.visitor.receive_rest().await;

        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(rest.turn_id(), shown["turn_id"]);
        assert_eq!(chat.upstream.requests().len(), 1);
    }

    async fn repeated_question_replays_a_failed_answer(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &FAIL_FAST).await;
        chat.upstream.queue(Script::from_words(&["Some "]).error_in_stream("server_error", "backend-7"));

        chat.visitor.ask_with_id("q1", "Who?").await;
        let first = chat.visitor.receive_answer().await;
        assert_eq!((first.status(), &first.error["code"]), ("failed", &json!("API_ERROR")));

        chat.visitor.ask_with_id("q1", "Who?").await;
        let again = chat.visitor.receive_answer().await;
        assert_eq!((again.text.as_str(), again.status()), ("Some ", "failed"));
        assert_eq!(again.error["turn_id"], first.done["turn_id"], "error of another turn: {again:?}");
        assert_eq!(again.error["retryable"], true);

        chat.visitor.ask_with_id("q2", "Who?").await;
        assert_eq!(chat.visitor.receive_answer().await.status(), "complete");
    }

    async fn question_ids_are_scoped_to_a_session(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let mut other = chat.connect().await;

        chat.visitor.ask_with_id("q1", "Who?").await;
        assert_eq!(chat.visitor.receive_answer().await.accepted["duplicate"], false);

        other.ask_with_id("q1", "Somebody else's question?").await;
        assert_eq!(other.receive_answer().await.accepted["duplicate"], false);
        assert_eq!(chat.upstream.requests().len(), 2);
    }
}
