//! The client's own `id` makes a question idempotent: never a second answer, never charged twice.

use serde_json::json;

use crate::on_both_stores;
use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat::{AS_IT_FAILS, Chat, hear_text};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Asks again what was answered in full, and holds it against the first time.
async fn is_said_again(chat: &mut Chat, first: &Answer) {
    chat.visitor.ask_with_id("q1", "Count, please.").await;
    let again = chat.visitor.answer().await;
    assert_eq!(again.accepted["duplicate"], true);
    assert_eq!(again.accepted["id"], "q1");
    assert_eq!(again.turn_id(), first.turn_id());
    assert_eq!((&again.text, again.status()), (&first.text, first.status()));
    assert!(again.deltas.iter().all(|delta| delta["replay"] == true), "{again:?}");
    for field in ["mode", "model", "usage", "durable", "remaining"] {
        assert_eq!(again.done.get(field), first.done.get(field), "{field}");
    }
    chat.visitor.ask_with_id("q1", "Something else?").await;
    let error = chat.visitor.hear_error("DUPLICATE_ID").await;
    assert_eq!((&error["id"], &error["retryable"]), (&json!("q1"), &json!(false)));
    assert!(error.get("turn_id").is_none(), "{error}");
    assert_eq!(chat.upstream.requests().len(), 1);
}

on_both_stores! {
    async fn a_question_sent_again_is_answered_with_the_same_answer_here_and_after_all_that_may_happen(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).model("other/model"));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.answer().await;
        assert_eq!(first.accepted["duplicate"], false);
        is_said_again(&mut chat, &first).await;

        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, json!(null)).await;
        is_said_again(&mut chat, &first).await;

        chat.server.kill().await;
        chat.server.restart().await;
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, json!(null)).await;
        is_said_again(&mut chat, &first).await;
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
    }

    async fn a_question_sent_again_during_its_answer_attaches_to_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let shown = hear_text(&mut chat.visitor, "One ").await;
        for reconnects in [false, true] {
            if reconnects {
                chat.visitor = chat.another().await;
                chat.visitor.resume(&session, cursor_at(&shown)).await;
            }
            chat.visitor.ask_with_id("q1", "Something else?").await;
            chat.visitor.hear_error("DUPLICATE_ID").await;
            chat.visitor.ask_with_id("q1", "Count, please.").await;
            let attached = chat.visitor.hear_type("accepted").await;
            assert_eq!((&attached["duplicate"], &attached["turn_id"]), (&json!(true), &shown["turn_id"]));
        }
        gate.open();
        let rest = chat.visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(rest.turn_id(), shown["turn_id"]);
        assert_eq!(chat.upstream.requests().len(), 1);
    }

    async fn a_question_whose_answer_failed_fails_again_when_it_is_sent_again(store: FreshStore) {
        let mut chat = Chat::on(&store, &AS_IT_FAILS).await;
        chat.upstream.queue(Script::of(&["Some "]).error_in_stream("server_error", "backend-7"));
        chat.visitor.ask_with_id("q1", "Who?").await;
        let first = chat.visitor.answer().await;
        assert_eq!((first.status(), &first.error["code"]), ("failed", &json!("API_ERROR")));
        chat.visitor.ask_with_id("q1", "Who?").await;
        let again = chat.visitor.answer().await;
        assert_eq!((again.text.as_str(), again.status()), ("Some ", "failed"));
        assert_eq!(again.error["turn_id"], first.done["turn_id"], "a failed turn has its error: {again:?}");
        assert_eq!(again.error["retryable"], true);
        chat.visitor.ask_with_id("q2", "Who?").await;
        assert_eq!(chat.visitor.answer().await.status(), "complete");
    }

    async fn an_id_belongs_to_its_own_conversation(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let mut other = chat.another().await;
        chat.visitor.ask_with_id("q1", "Who?").await;
        assert_eq!(chat.visitor.answer().await.accepted["duplicate"], false);
        other.ask_with_id("q1", "Somebody else's question?").await;
        assert_eq!(other.answer().await.accepted["duplicate"], false);
        assert_eq!(chat.upstream.requests().len(), 2);
    }
}
