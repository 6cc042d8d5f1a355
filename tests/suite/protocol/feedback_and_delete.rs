//! What visitors want done with what is kept of them: to say what they think of an answer, to be forgotten.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{Chat, hear_text, until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::cli::{told, told_json};
use crate::support::stores::fresh_store::Store;
use crate::support::upstream::script::Script;

on_both_stores! {
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
        let ratings = |messages: &Value| -> Vec<Option<Value>> {
            messages.as_array().into_iter().flatten().map(|it| it.get("rating").cloned()).collect()
        };
        let told_of = chat.visitor.history(json!({})).await;
        assert_eq!(ratings(&told_of["messages"]), [None, Some(json!("down"))], "{told_of}");

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

        chat.kill_and_start_again().await;
        let back = chat.visitor.resume(&session, Value::Null).await.frame;
        assert_eq!(ratings(&back["history"]), [None, Some(json!("down"))], "{back}");
        let taken_back = opinion(&mut chat.visitor, Value::Null, "").await;
        assert_eq!(taken_back, json!({"type": "feedback_saved", "turn_id": turn}));
        let told_of = chat.visitor.history(json!({})).await;
        assert_eq!(ratings(&told_of["messages"]), [None, None], "{told_of}");
        assert_eq!(store.number("SELECT count(*) FROM feedback").await, 0);
    }

    async fn an_opinion_is_only_about_an_answer_of_ones_own(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let turn = chat.visitor.ask_and_hear("Whose?").await.done["turn_id"].clone();
        let mut other = chat.another().await;
        let opinion = json!({"type": "feedback", "turn_id": turn, "rating": "down", "id": "r-1"});
        other.say(opinion.clone()).await;
        assert_eq!(other.hear_error("NO_SUCH_TURN").await["id"], "r-1");
        let session = other.start().await;
        other.say(opinion.clone()).await;
        assert_eq!(other.hear_error("NO_SUCH_TURN").await["id"], "r-1");
        other.say(json!({"type": "feedback", "turn_id": session.session_id, "rating": "down"})).await;
        other.hear_error("NO_SUCH_TURN").await;
        assert_eq!(store.number("SELECT count(*) FROM feedback").await, 0);
        chat.visitor.say(opinion).await;
        assert_eq!(chat.visitor.hear_type("feedback_saved").await["id"], "r-1");
    }

    async fn a_forgotten_conversation_leaves_nothing_behind(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let turn = chat.visitor.ask_and_hear("A secret marker?").await.done["turn_id"].clone();
        chat.visitor.regenerate(None).await;
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
        let upstream_and_store = crate::support::server::config::ServerConfig::serve(&store, &chat.upstream);
        let elsewhere = crate::support::server::test_server::Server::start(upstream_and_store).await;
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
