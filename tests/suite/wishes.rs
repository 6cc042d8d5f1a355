//! What visitors want beside asking: that an answer stops where they saw it stop, that it is given anew, to say what they think,
//! to be forgotten.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::{Answer, cursor_at};
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::gate::Gate;
use crate::support::owner::{told, told_json};
use crate::support::request::Request;
use crate::support::script::Script;
use crate::support::stores::Store;

async fn kill_and_start_again(chat: &mut Chat) {
    chat.server.kill().await;
    chat.server.restart().await;
    chat.visitor = chat.another().await;
}

async fn regenerate(visitor: &mut ChatClient, id: Option<&str>) -> Answer {
    let mut frame = json!({"type": "regenerate"});
    if let Some(id) = id {
        frame["id"] = json!(id);
    }
    visitor.say(frame).await;
    visitor.answer().await
}

async fn history(visitor: &mut ChatClient) -> Value {
    visitor.say(json!({"type": "history"})).await;
    visitor.hear_type("history").await["messages"].clone()
}

/// What the model was shown beside its instructions.
fn shown_to_model(request: &Request) -> Vec<&str> {
    request.messages().iter().skip(1).filter_map(|it| it["content"].as_str()).collect()
}

fn contents(messages: &Value) -> Vec<&str> {
    messages.as_array().into_iter().flatten().filter_map(|it| it["content"].as_str()).collect()
}

on_both_stores! {
    async fn what_the_visitor_saw_of_a_stopped_answer_is_what_is_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three ", "four "]).no_usage().hang_after(4));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let last = hear_text(&mut chat.visitor, "One two three four ").await;
        let stopped = Instant::now();
        chat.visitor.say(json!({"type": "cancel", "turn_id": last["turn_id"], "seen_seq": 2})).await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 4);
        assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
        let end = chat.visitor.rest_of_answer().await;
        assert_eq!((end.text.as_str(), end.status(), &end.done["durable"]), ("", "cancelled", &json!(true)));
        let kept = store.texts("SELECT content FROM messages WHERE role = 'assistant'").await;
        assert_eq!(kept, ["One two "]);
        assert_eq!(contents(&history(&mut chat.visitor).await), ["Count, please.", "One two "]);
        chat.visitor.ask_and_hear("And now?").await;
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(shown_to_model(&prompt), ["Count, please.", "One two ", "And now?"]);

        for restarts in [false, true] {
            if restarts {
                kill_and_start_again(&mut chat).await;
            } else {
                chat.visitor = chat.another().await;
            }
            chat.visitor.resume(&session, Value::Null).await;
            chat.visitor.ask_with_id("q1", "Count, please.").await;
            let again = chat.visitor.answer().await;
            assert_eq!((again.text.as_str(), again.status()), ("One two ", "cancelled"));
            assert_eq!(again.done["usage"], end.done["usage"]);
        }
    }

    async fn a_stopped_answer_is_gone_on_with_only_as_far_as_it_is_kept(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two ", "three "]).hang_after(3));
        chat.visitor.ask("Count, please.").await;
        let last = hear_text(&mut chat.visitor, "One two three ").await;
        chat.visitor.say(json!({"type": "cancel", "seen_seq": 1})).await;
        chat.visitor.hear_until("done").await;
        for restarts in [false, true] {
            if restarts {
                kill_and_start_again(&mut chat).await;
            }
            let mut other = chat.another().await;
            let back = other.resume(&session, json!({"turn_id": last["turn_id"], "seq": 0})).await.frame;
            assert_eq!(back["recovered"], true);
            let rest = other.rest_of_answer().await;
            assert_eq!((rest.text.as_str(), rest.status()), ("One ", "cancelled"));
            let mut other = chat.another().await;
            assert_eq!(other.resume(&session, cursor_at(&last)).await.frame["recovered"], false);
        }
    }

    async fn one_who_claims_to_have_seen_more_than_was_said_keeps_all_of_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        for (seen, kept) in [(json!(1000), "One two "), (json!(0), "")] {
            chat.upstream.queue(Script::of(&["One ", "two "]).hang_after(2));
            chat.visitor.ask("Count, please.").await;
            hear_text(&mut chat.visitor, "One two ").await;
            chat.visitor.say(json!({"type": "cancel", "seen_seq": seen})).await;
            assert_eq!(chat.visitor.rest_of_answer().await.status(), "cancelled");
            let stored = "SELECT content FROM messages WHERE role = 'assistant' ORDER BY turn_id DESC LIMIT 1";
            assert_eq!(store.texts(stored).await, [kept]);
        }
    }

    async fn an_answer_given_anew_takes_the_place_of_the_last(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["Zero."])).queue(Script::of(&["First."]));
        chat.upstream.queue(Script::of(&["Second."])).queue(Script::of(&["Third."]));
        chat.visitor.ask_and_hear("Before?").await;
        let first = chat.visitor.ask_and_hear("Which?").await;
        let second = regenerate(&mut chat.visitor, None).await;
        assert_eq!((second.text.as_str(), second.status()), ("Second.", "complete"));
        assert_eq!(second.accepted["duplicate"], false);
        assert_ne!(second.turn_id(), first.turn_id());
        let remaining = |answer: &Answer| answer.done["remaining"].as_u64().unwrap();
        assert_eq!(remaining(&second) + 1, remaining(&first), "it counts as a question");
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, Value::Null).await;
        let third = regenerate(&mut chat.visitor, None).await;
        chat.visitor.ask_and_hear("After?").await;

        let mut prompts = Vec::new();
        for _ in 0..5 {
            prompts.push(chat.upstream.next_request().await);
        }
        assert_eq!(shown_to_model(&prompts[2]), ["Before?", "Zero.", "Which?"]);
        assert_eq!(shown_to_model(&prompts[3]), ["Before?", "Zero.", "Which?"]);
        assert_eq!(shown_to_model(&prompts[4]), ["Before?", "Zero.", "Which?", "Third.", "After?"]);

        // The transcript has all of it, and says which answers were replaced by which.
        for restarts in [false, true] {
            if restarts {
                kill_and_start_again(&mut chat).await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let said = history(&mut chat.visitor).await;
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
        assert!(!shown_to_model(&prompt).contains(&"Second."), "{prompt:?}");
        assert!(shown_to_model(&prompt).contains(&"Third."), "{prompt:?}");
    }

    async fn an_answer_cut_off_by_a_kill_is_given_anew(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1)).queue(Script::of(&["All of it."]));
        chat.visitor.ask("Count, please.").await;
        let shown = hear_text(&mut chat.visitor, "One ").await;
        until_stored(&store, "SELECT count(*) FROM messages WHERE content = 'One '", 1).await;
        kill_and_start_again(&mut chat).await;
        chat.visitor.resume(&session, cursor_at(&shown)).await;
        assert_eq!(chat.visitor.rest_of_answer().await.status(), "interrupted");
        let unanswered = ["conversations", "list", "--unanswered", "--json"];
        let listed = async || told_json(&store, &unanswered).await["conversations"].as_array().map(Vec::len);
        assert_eq!(listed().await, Some(1));
        let anew = regenerate(&mut chat.visitor, None).await;
        assert_eq!(listed().await, Some(0), "in the end it was answered");
        assert_eq!((anew.text.as_str(), anew.status()), ("All of it.", "complete"));
        chat.upstream.next_request().await;
        let prompt = chat.upstream.next_request().await;
        assert_eq!(shown_to_model(&prompt), ["Count, please."], "what was cut off is out of the prompt");
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
        regenerate(&mut chat.visitor, None).await;
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
        let second = regenerate(&mut chat.visitor, Some("r1")).await;
        for restarts in [false, true] {
            if restarts {
                kill_and_start_again(&mut chat).await;
                chat.visitor.resume(&session, Value::Null).await;
            }
            let again = regenerate(&mut chat.visitor, Some("r1")).await;
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

    async fn an_opinion_is_kept_changed_and_taken_back(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let turn = chat.visitor.ask_and_hear("Helpful?").await.done["turn_id"].clone();
        let opinion = async |visitor: &mut ChatClient, rating: Value, comment: &str| {
            visitor.say(json!({"type": "feedback", "turn_id": turn, "rating": rating, "comment": comment})).await;
            visitor.hear().await
        };
        let saved = opinion(&mut chat.visitor, json!("up"), "").await;
        assert_eq!(saved, json!({"type": "feedback_saved", "turn_id": turn, "rating": "up"}));
        let comment = format!(" \u{202e}Not# \u{7}{}\n", "é".repeat(495));
        assert_eq!(opinion(&mut chat.visitor, json!("down"), &comment).await["rating"], "down");
        opinion(&mut chat.visitor, json!("down"), &comment).await;
        assert_eq!(store.number("SELECT count(*) FROM feedback").await, 1);

        let cleaned = format!("Not# {}", "é".repeat(495));
        let shown = told_json(&store, &["conversations", "show", &session.session_id, "--json"]).await;
        let of_turn = &shown["turns"][0];
        assert_eq!((&of_turn["rating"], &of_turn["comment"]), (&json!("down"), &json!(cleaned)));
        let exported = told_json(&store, &["conversations", "export", "--json"]).await;
        assert_eq!(exported[0]["turns"][0]["rating"], "down");
        let markdown = told(&store, &["conversations", "show", &session.session_id]).await;
        assert!(markdown.contains(&format!("not helpful:\n\n> {cleaned}\n")), "{markdown}");

        let refused = opinion(&mut chat.visitor, json!("up"), &"x".repeat(501)).await;
        assert_eq!(refused["code"], "MESSAGE_TOO_LONG");
        assert!(refused["message"].as_str().is_some_and(|it| it.contains("501") && it.contains("500")));
        let refused = opinion(&mut chat.visitor, json!("sideways"), "").await;
        assert_eq!(refused["code"], "VALIDATION_ERROR");

        kill_and_start_again(&mut chat).await;
        chat.visitor.resume(&session, Value::Null).await;
        let taken_back = opinion(&mut chat.visitor, Value::Null, "").await;
        assert_eq!(taken_back, json!({"type": "feedback_saved", "turn_id": turn}));
        assert_eq!(store.number("SELECT count(*) FROM feedback").await, 0);
    }

    async fn an_opinion_is_only_about_an_answer_of_ones_own(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let turn = chat.visitor.ask_and_hear("Whose?").await.done["turn_id"].clone();
        let mut other = chat.another().await;
        let opinion = json!({"type": "feedback", "turn_id": turn, "rating": "down"});
        other.say(opinion.clone()).await;
        other.hear_error("NO_SUCH_TURN").await;
        let session = other.start().await;
        other.say(opinion).await;
        other.hear_error("NO_SUCH_TURN").await;
        other.say(json!({"type": "feedback", "turn_id": session.session_id, "rating": "down"})).await;
        other.hear_error("NO_SUCH_TURN").await;
        assert_eq!(store.number("SELECT count(*) FROM feedback").await, 0);
    }

    async fn a_forgotten_conversation_leaves_nothing_behind(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let turn = chat.visitor.ask_and_hear("A secret marker?").await.done["turn_id"].clone();
        regenerate(&mut chat.visitor, None).await;
        chat.visitor.say(json!({"type": "feedback", "turn_id": turn, "rating": "up"})).await;
        chat.visitor.hear_type("feedback_saved").await;
        let mut other = chat.another().await;
        other.ask_and_hear("Another's?").await;
        chat.visitor.say(json!({"type": "forget"})).await;
        chat.visitor.hear_type("forgotten").await;
        assert_eq!(chat.visitor.hear_close().await, 1000);
        for (table, rows) in [("sessions", 1), ("turns", 1), ("messages", 2), ("feedback", 0)] {
            assert_eq!(store.number(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
        }
        if store.store() == Store::Sqlite {
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            let kept = std::fs::read(store.url().trim_start_matches("sqlite://")).unwrap();
            let holds = |words: &str| kept.windows(words.len()).any(|bytes| bytes == words.as_bytes());
            assert!(holds("Another's?") && !holds("secret marker"), "forgotten words are in the file");
        }
        for cursor in [Value::Null, json!({"turn_id": turn, "seq": 1})] {
            let mut back = chat.another().await;
            back.ask_to_resume(&session, cursor).await;
            back.hear_error("SESSION_NOT_FOUND").await;
        }
        other.ask_and_hear("Still there?").await;
    }

    async fn an_answer_under_way_is_stopped_before_its_conversation_is_forgotten(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        let forgets = Instant::now();
        chat.visitor.say(json!({"type": "forget"})).await;
        chat.visitor.ask("One more?").await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);
        assert!(forgets.elapsed() < Duration::from_secs(1), "{:?}", forgets.elapsed());
        let mut ends = Vec::new();
        while let Ok(frame) = chat.visitor.hear_or_close().await {
            ends.push((frame["type"].clone(), frame["status"].clone()));
        }
        let ended = |kind: &str| ends.iter().filter(|(it, _)| it == kind).count();
        assert_eq!((ended("done"), ended("forgotten")), (1, 1), "{ends:?}");
        assert!(ends.contains(&(json!("done"), json!("cancelled"))), "{ends:?}");
        for table in ["sessions", "turns", "messages"] {
            assert_eq!(store.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        // What was still to be written of it is not written any more.
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        chat.visitor.ask_and_hear("A new one?").await;
        assert_eq!(store.number("SELECT count(*) FROM sessions").await, 1);
        assert_eq!(chat.upstream.requests().len(), 2);
    }

    async fn an_answer_under_way_is_stopped_when_the_owner_deletes_its_conversation(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        told(&store, &["conversations", "delete", "--yes", &session.session_id]).await;
        assert_eq!(chat.upstream.wait_for_abort().await.deltas, 1);
        let end = chat.visitor.rest_of_answer().await;
        assert_eq!((end.status(), &end.done["durable"]), ("interrupted", &json!(false)));
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 0);
    }

    async fn what_waits_to_be_written_of_a_conversation_is_forgotten_with_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.visitor.start().await;
        chat.upstream.always(Script::of(&["Yes."]));
        let outage = store.go_away().await;
        chat.visitor.ask("Kept?").await;
        let answer = chat.visitor.answer().await;
        assert_eq!(answer.done["durable"], false);
        // It cannot be forgotten as long as nobody knows when it will be written.
        chat.visitor.say(json!({"type": "forget"})).await;
        chat.visitor.hear_error("STORAGE_UNAVAILABLE").await;
        outage.end().await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 1).await;
        chat.visitor.say(json!({"type": "forget"})).await;
        chat.visitor.hear_type("forgotten").await;
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 0);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 0);
    }

    async fn who_has_lost_a_conversation_can_neither_forget_nor_judge_it(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let mut first = chat.another().await;
        let session = first.start().await;
        let turn = first.ask_and_hear("Mine?").await.done["turn_id"].clone();
        let upstream_and_store = crate::support::server_config::ServerConfig::serve(&store, &chat.upstream);
        let elsewhere = crate::support::server::Server::start(upstream_and_store).await;
        let judgement = json!({"type": "feedback", "turn_id": turn, "rating": "down"});
        for wish in [judgement, json!({"type": "forget"})] {
            let mut older = chat.another().await;
            older.resume(&session, Value::Null).await;
            ChatClient::connect(&elsewhere).await.resume(&session, Value::Null).await;
            older.say(wish).await;
            older.hear_error("SESSION_NOT_FOUND").await;
            assert_eq!(older.hear_close().await, 4409);
        }
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
    }
}

#[tokio::test]
async fn nothing_can_be_forgotten_before_there_is_a_session() {
    let mut chat = Chat::with(&[]).await;
    chat.visitor.say(json!({"type": "forget"})).await;
    chat.visitor.hear_error("VALIDATION_ERROR").await;
    chat.visitor.start().await;
}
