//! What a conversation is after the server was killed, or told to leave, at the worst moment.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, hear_text, until_stored};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Role, text and status of every message.
fn said(messages: &Value) -> Vec<(&str, &str, &str)> {
    let messages = messages.as_array().into_iter().flatten();
    messages
        .filter_map(|it| Some((it["role"].as_str()?, it["content"].as_str()?, it["status"].as_str()?)))
        .collect()
}

on_both_stores! {
    async fn an_answer_cut_off_by_a_kill_is_kept_as_far_as_it_was_saved(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three."]).hang_after(2));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        hear_text(&mut chat.visitor, "One two ").await;
        let partial = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'One two '";
        until_stored(&store, partial, 1).await;
        chat.kill_and_start_again().await;

        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        assert_eq!(back["recovered"], false);
        let expected = [("user", "Count, please.", "interrupted"), ("assistant", "One two ", "interrupted")];
        assert_eq!(said(&back["history"]), expected);
        assert!(back["history"][1]["tokens"].as_u64().is_some_and(|it| it > 0), "{}", back["history"]);
        // At once, as a client does that does not know what became of its question.
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let again = chat.visitor.answer().await;
        assert_eq!((again.text.as_str(), again.status()), ("One two ", "interrupted"));
        assert_eq!(again.accepted["duplicate"], true);
        chat.visitor.say(json!({"type": "history"})).await;
        assert_eq!(said(&chat.visitor.hear_type("history").await["messages"]), expected);
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'interrupted'", 1).await;
        assert_eq!(chat.visitor.ask_and_hear("And now?").await.status(), "complete");
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn a_question_accepted_before_a_kill_is_kept_even_without_a_word_of_its_answer(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::new().hang_before_headers());
        chat.visitor.ask("Is it kept?").await;
        assert_eq!(chat.visitor.hear_type("accepted").await["durable"], true);
        chat.kill_and_start_again().await;
        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        assert_eq!(said(&back["history"]), [("user", "Is it kept?", "interrupted")]);
        assert_eq!(chat.visitor.ask_and_hear("And now?").await.status(), "complete");
    }

    async fn what_was_done_before_a_kill_is_all_there_after_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."])).queue(Script::of(&["Three."]));
        chat.visitor.ask_and_hear("Count, please.").await;
        let last = chat.visitor.ask_and_hear("Further?").await;
        assert_eq!(last.done["durable"], true);
        chat.kill_and_start_again().await;
        let back = chat.visitor.resume(&session, json!(null)).await.frame;
        let expected = [
            ("user", "Count, please.", "complete"),
            ("assistant", "One two.", "complete"),
            ("user", "Further?", "complete"),
            ("assistant", "Three.", "complete"),
        ];
        assert_eq!(said(&back["history"]), expected);
        assert_eq!(back["limits"]["remaining"], last.done["remaining"]);
    }

    async fn a_server_told_to_leave_lets_an_answer_end_first(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        chat.server.terminate().await;
        chat.visitor.hear_until("notice").await;
        gate.open();
        let rest = chat.visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(chat.visitor.hear_close().await, 1012);
        chat.server.restart().await;
        let back = chat.another().await.resume(&session, json!(null)).await.frame;
        let expected = [("user", "Count, please.", "complete"), ("assistant", "One two.", "complete")];
        assert_eq!(said(&back["history"]), expected);
    }
}
