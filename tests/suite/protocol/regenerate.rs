//! An answer that is given anew takes the place of the last.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat::{Chat, hear_text, until_stored};
use crate::support::server::cli::told_json;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

on_both_stores! {
    async fn an_answer_given_anew_takes_the_place_of_the_last(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["Zero."])).queue(Script::of(&["First."]));
        chat.upstream.queue(Script::of(&["Second."])).queue(Script::of(&["Third."]));
        chat.visitor.ask_and_hear("Before?").await;
        let first = chat.visitor.ask_and_hear("Which?").await;
        let second = chat.visitor.regenerate(None).await;
        assert_eq!((second.text.as_str(), second.status()), ("Second.", "complete"));
        assert_eq!(second.accepted["duplicate"], false);
        assert_ne!(second.turn_id(), first.turn_id());
        let remaining = |answer: &Answer| answer.done["remaining"].as_u64().unwrap();
        assert_eq!(remaining(&second) + 1, remaining(&first), "it counts as a question");
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, Value::Null).await;
        let third = chat.visitor.regenerate(None).await;
        chat.visitor.ask_and_hear("After?").await;

        let mut prompts = Vec::new();
        for _ in 0..5 {
            prompts.push(chat.upstream.next_request().await);
        }
        assert_eq!(prompts[2].conversation(), ["Before?", "Zero.", "Which?"]);
        assert_eq!(prompts[3].conversation(), ["Before?", "Zero.", "Which?"]);
        assert_eq!(prompts[4].conversation(), ["Before?", "Zero.", "Which?", "Third.", "After?"]);

        // The transcript has all of it, and says which answers were replaced by which.
        for restarts in [false, true] {
            if restarts {
                chat.kill_and_start_again().await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let said = chat.visitor.history(json!({})).await["messages"].clone();
            let said = said.as_array().unwrap();
            let answers: Vec<(&str, Option<&str>)> = said
                .iter()
                .filter(|it| it["role"] == "assistant")
                .map(|it| (it["content"].as_str().unwrap(), it.get("superseded_by").and_then(Value::as_str)))
                .collect();
            assert_eq!(answers[..4], [
                ("Zero.", None),
                ("First.", Some(second.turn_id())),
                ("Second.", Some(third.turn_id())),
                ("Third.", None),
            ]);
            assert_eq!(said[2]["superseded_by"], second.turn_id(), "its question, too");
        }
        chat.visitor.ask_and_hear("Still?").await;
        let prompt = chat.upstream.next_request().await;
        assert!(!prompt.conversation().contains(&"Second."), "{prompt:?}");
        assert!(prompt.conversation().contains(&"Third."), "{prompt:?}");
    }

    async fn an_answer_cut_off_by_a_kill_is_given_anew(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1)).queue(Script::of(&["All of it."]));
        chat.visitor.ask("Count, please.").await;
        let shown = hear_text(&mut chat.visitor, "One ").await;
        until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'One '", 1).await;
        chat.kill_and_start_again().await;
        chat.visitor.resume(&session, cursor_at(&shown)).await;
        assert_eq!(chat.visitor.rest_of_answer().await.status(), "interrupted");
        let unanswered = ["conversations", "list", "--unanswered", "--json"];
        let listed = async || told_json(&store, &unanswered).await["conversations"].as_array().map(Vec::len);
        assert_eq!(listed().await, Some(1));
        let anew = chat.visitor.regenerate(None).await;
        assert_eq!(listed().await, Some(0), "in the end it was answered");
        assert_eq!((anew.text.as_str(), anew.status()), ("All of it.", "complete"));
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(prompt.conversation(), ["Count, please."], "what was cut off is out of the prompt");
    }

    async fn giving_anew_is_refused_as_a_question_is(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "2")]).await;
        chat.visitor.say(json!({"type": "regenerate", "id": "r0"})).await;
        assert_eq!(chat.visitor.hear_error("NO_SUCH_TURN").await["id"], "r0");
        chat.visitor.start().await;
        chat.visitor.say(json!({"type": "regenerate"})).await;
        chat.visitor.hear_error("NO_SUCH_TURN").await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        chat.visitor.say(json!({"type": "regenerate"})).await;
        chat.visitor.hear_error("TURN_IN_PROGRESS").await;
        gate.open();
        chat.visitor.rest_of_answer().await;
        chat.visitor.regenerate(None).await;
        chat.visitor.say(json!({"type": "regenerate"})).await;
        let refusal = chat.visitor.hear_error("RATE_LIMIT_EXCEEDED").await;
        assert!(refusal["retry_after_ms"].as_u64().is_some_and(|it| it > 0), "{refusal}");
        // What was refused has replaced nothing.
        assert_eq!(store.number("SELECT count(*) FROM turns WHERE superseded_by IS NOT NULL").await, 1);
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 2);
    }

    async fn an_answer_is_given_anew_once_under_one_id(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["First."])).queue(Script::of(&["Second."]));
        chat.visitor.ask_with_id("q1", "Which?").await;
        chat.visitor.answer().await;
        let second = chat.visitor.regenerate(Some("r1")).await;
        for restarts in [false, true] {
            if restarts {
                chat.kill_and_start_again().await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let again = chat.visitor.regenerate(Some("r1")).await;
            assert_eq!((again.text.as_str(), &again.accepted["duplicate"]), ("Second.", &json!(true)));
            assert_eq!(again.turn_id(), second.turn_id());
            // A question is no regeneration, and the other way round.
            chat.visitor.say(json!({"type": "regenerate", "id": "q1"})).await;
            chat.visitor.hear_error("DUPLICATE_ID").await;
            chat.visitor.ask_with_id("r1", "Which?").await;
            chat.visitor.hear_error("DUPLICATE_ID").await;
        }
        assert_eq!(chat.upstream.requests().len(), 2);
    }
}
