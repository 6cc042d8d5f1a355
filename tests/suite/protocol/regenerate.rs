//! Regenerating an answer: the new one replaces the last one.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{Answer, cursor_at};
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::server::cli::run_json;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Returns content and `superseded_by` of each answer.
fn answers_with_successors(messages: &[Value]) -> Vec<(&str, Option<&str>)> {
    let answers = messages.iter().filter(|message| message["role"] == "assistant");
    let pairs = answers.map(|message| (message["content"].as_str().unwrap(), message.get("superseded_by")));
    pairs.map(|(content, successor)| (content, successor.and_then(Value::as_str))).collect()
}

on_both_stores! {
    async fn regenerated_answer_replaces_the_last_one_in_prompt_and_transcript(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["Zero."])).queue(Script::from_words(&["First."]));
        chat.upstream.queue(Script::from_words(&["Second."])).queue(Script::from_words(&["Third."]));

        chat.visitor.ask_and_wait("Before?").await;
        let first = chat.visitor.ask_and_wait("Which?").await;
        let second = chat.visitor.regenerate(None).await;

        assert_eq!((second.text.as_str(), second.status()), ("Second.", "complete"));
        assert_eq!(second.accepted["duplicate"], false);
        assert_ne!(second.turn_id(), first.turn_id());

        let remaining = |answer: &Answer| answer.done["remaining"].as_u64().unwrap();
        assert_eq!(remaining(&second) + 1, remaining(&first), "a regeneration must count as a question");

        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, Value::Null).await;
        let third = chat.visitor.regenerate(None).await;
        chat.visitor.ask_and_wait("After?").await;

        let mut prompts = Vec::new();
        for _ in 0..5 {
            prompts.push(chat.upstream.next_request().await);
        }
        assert_eq!(prompts[2].conversation(), ["Before?", "Zero.", "Which?"]);
        assert_eq!(prompts[3].conversation(), ["Before?", "Zero.", "Which?"]);
        assert_eq!(prompts[4].conversation(), ["Before?", "Zero.", "Which?", "Third.", "After?"]);

        // The transcript keeps all answers and links each replaced one to its successor.
        let expected = [
            ("Zero.", None),
            ("First.", Some(second.turn_id())),
            ("Second.", Some(third.turn_id())),
            ("Third.", None),
        ];
        for restarts in [false, true] {
            if restarts {
                chat.kill_and_restart().await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let transcript = chat.visitor.history(json!({})).await;
            let messages = transcript["messages"].as_array().unwrap();
            assert_eq!(answers_with_successors(messages)[..4], expected);
            assert_eq!(messages[2]["superseded_by"], second.turn_id(), "the question is not replaced");
        }

        chat.visitor.ask_and_wait("Still?").await;
        let prompt = chat.upstream.next_request().await;
        assert!(!prompt.conversation().contains(&"Second."), "{prompt:?}");
        assert!(prompt.conversation().contains(&"Third."), "{prompt:?}");
    }

    async fn interrupted_answer_can_be_regenerated_after_a_kill(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream
            .queue(Script::from_words(&["One ", "two."]).hang_after(1))
            .queue(Script::from_words(&["All of it."]));

        chat.visitor.ask("Count, please.").await;
        let shown = receive_text(&mut chat.visitor, "One ").await;
        wait_until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'One '", 1).await;
        chat.kill_and_restart().await;
        chat.visitor.resume(&session, cursor_at(&shown)).await;

        assert_eq!(chat.visitor.receive_rest().await.status(), "interrupted");

        let unanswered = ["conversations", "list", "--unanswered", "--json"];
        let count_unanswered =
            async || run_json(&store, &unanswered).await["conversations"].as_array().map(Vec::len);
        assert_eq!(count_unanswered().await, Some(1));

        let regenerated = chat.visitor.regenerate(None).await;
        assert_eq!(count_unanswered().await, Some(0), "still listed as unanswered");
        assert_eq!((regenerated.text.as_str(), regenerated.status()), ("All of it.", "complete"));

        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(prompt.conversation(), ["Count, please."], "the interrupted answer is in the prompt");
    }

    async fn regenerate_is_rejected_like_a_question(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "2")]).await;

        chat.visitor.send(json!({"type": "regenerate", "id": "r0"})).await;
        assert_eq!(chat.visitor.expect_error("NO_SUCH_TURN").await["id"], "r0");

        chat.visitor.start().await;
        chat.visitor.send(json!({"type": "regenerate"})).await;
        chat.visitor.expect_error("NO_SUCH_TURN").await;

        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        chat.visitor.send(json!({"type": "regenerate"})).await;

        chat.visitor.expect_error("TURN_IN_PROGRESS").await;

        gate.open();
        chat.visitor.receive_rest().await;
        chat.visitor.regenerate(None).await;
        chat.visitor.send(json!({"type": "regenerate"})).await;
        let rejection = chat.visitor.expect_error("RATE_LIMIT_EXCEEDED").await;

        assert!(rejection["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{rejection}");
        // The rejected request has replaced nothing.
        assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE superseded_by IS NOT NULL").await, 1);
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 2);
    }

    async fn repeated_regenerate_replays_the_new_answer(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["First."])).queue(Script::from_words(&["Second."]));

        chat.visitor.ask_with_id("q1", "Which?").await;
        chat.visitor.receive_answer().await;
        let second = chat.visitor.regenerate(Some("r1")).await;

        for restarts in [false, true] {
            if restarts {
                chat.kill_and_restart().await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let again = chat.visitor.regenerate(Some("r1")).await;
            assert_eq!((again.text.as_str(), &again.accepted["duplicate"]), ("Second.", &json!(true)));
            assert_eq!(again.turn_id(), second.turn_id());
            // An id of a question cannot be used to regenerate, and vice versa.
            chat.visitor.send(json!({"type": "regenerate", "id": "q1"})).await;
            chat.visitor.expect_error("DUPLICATE_ID").await;
            chat.visitor.ask_with_id("r1", "Which?").await;
            chat.visitor.expect_error("DUPLICATE_ID").await;
        }

        assert_eq!(chat.upstream.requests().len(), 2);
    }
}
