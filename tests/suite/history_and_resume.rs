//! Coming back: to the exact word, after a lost network, a refresh, another device, a killed server.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::{SessionInfo, contents, cursor_at};
use crate::support::chat::{Chat, hear_text};
use crate::support::chat_client::ChatClient;
use crate::support::faults::{hold, release, until_held};
use crate::support::gate::Gate;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

const NOTHING_SHOWN: Value = Value::Null;

/// `w1 w2 … `, as [`Script::of_many`] says them.
fn words(from: usize, until: usize) -> String {
    (from..=until).map(|word| format!("w{word} ")).collect()
}

on_both_stores! {
    async fn the_transcript_is_read_page_by_page_in_its_order(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        for round in 1..=5 {
            chat.upstream.queue(Script::of(&[&format!("Answer {round}.")]));
            chat.visitor.ask_and_hear(&format!("Question {round}?")).await;
        }
        let all = chat.visitor.history(json!({})).await;
        assert_eq!(all["more"], false);
        let expected: Vec<_> = (1..=5).flat_map(|it| [format!("Question {it}?"), format!("Answer {it}.")]).collect();
        assert_eq!(contents(&all["messages"]), expected);
        for message in all["messages"].as_array().into_iter().flatten() {
            assert!(message["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{message}");
            assert!(message["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{message}");
            assert_eq!(message["status"], "complete");
        }
        let page = chat.visitor.history(json!({"limit": 2})).await;
        assert_eq!(contents(&page["messages"]), expected[6..]);
        assert_eq!(page["more"], true);
        let before = &page["messages"][0]["turn_id"];
        let page = chat.visitor.history(json!({"limit": 2, "before": before})).await;
        assert_eq!(contents(&page["messages"]), expected[2..6]);
        assert_eq!(page["more"], true);
        let before = &page["messages"][0]["turn_id"];
        let page = chat.visitor.history(json!({"limit": 2, "before": before})).await;
        assert_eq!(contents(&page["messages"]), expected[..2]);
        assert_eq!(page["more"], false);
    }

    async fn a_transcript_that_was_read_before_an_answer_ended_is_not_told_after_it(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, "One ").await;
        hold(&chat.server, "PersistenceAfterRead").await;
        chat.visitor.say(json!({"type": "history"})).await;
        until_held(&chat.server, "PersistenceAfterRead").await;
        gate.open();
        let end = chat.visitor.rest_of_answer().await;
        assert_eq!((end.status(), &end.done["durable"]), ("complete", &json!(true)));
        release(&chat.server, "PersistenceAfterRead").await;
        let told = chat.visitor.hear_type("history").await;
        assert_eq!(contents(&told["messages"]), ["Count, please.", "One two."]);
        assert_eq!(told["messages"][1]["status"], "complete");
    }

    async fn a_resumed_conversation_has_its_history_and_goes_on(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["In ", "Lisbon."])).queue(Script::of(&["Rust."]));
        let last = chat.visitor.ask_and_hear("Where does she live?").await;
        chat.visitor = chat.another().await;
        let back = chat.visitor.resume(&session, NOTHING_SHOWN).await.frame;
        assert_eq!((&back["resumed"], &back["recovered"]), (&json!(true), &json!(false)));
        assert_eq!(contents(&back["history"]), ["Where does she live?", "In Lisbon."]);
        assert_eq!(back["limits"]["remaining"], last.done["remaining"]);
        assert_eq!(back["session_id"], session.frame["session_id"]);
        chat.visitor.ask_and_hear("And which language?").await;
        chat.upstream.next_request().await;
        assert_eq!(chat.upstream.next_request().await.messages().len(), 4, "the model is shown the conversation");
    }

    async fn a_wrong_token_and_an_unknown_session_cannot_be_told_apart(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let reversed: String = session.resume_token.chars().rev().collect();
        let mut other = chat.another().await;
        let mut answers = Vec::new();
        for (session_id, resume_token) in [
            (session.session_id.as_str(), reversed.as_str()),
            (session.session_id.as_str(), ""),
            (session.session_id.as_str(), &"x".repeat(10_000)),
            ("0192e4a0-0000-7000-8000-000000000000", session.resume_token.as_str()),
        ] {
            let frame = session.frame.clone();
            let stranger = SessionInfo { session_id: session_id.into(), resume_token: resume_token.into(), frame };
            other.ask_to_resume(&stranger, NOTHING_SHOWN).await;
            answers.push(other.hear_error("SESSION_NOT_FOUND").await);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
        chat.visitor.hear_nothing_more().await;
        assert_eq!(other.start().await.frame["resumed"], false, "a stranger may begin a session of their own");
    }

    async fn a_session_that_is_too_old_is_expired(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("SESSION_TTL", "1h")]).await;
        let session = chat.visitor.start().await;
        let mut other = chat.another().await;
        store.execute("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - 3601000").await;
        other.ask_to_resume(&session, NOTHING_SHOWN).await;
        let error = other.hear_error("SESSION_EXPIRED").await;
        assert_eq!(error["retryable"], false);
        store.execute("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms + 60000").await;
        other.resume(&session, NOTHING_SHOWN).await;
    }

    async fn an_answer_goes_on_at_the_very_word_after_the_one_that_was_shown(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let (early, gate) = (Gate::default(), Gate::default());
        chat.upstream.queue(Script::of_many(40).hold_after(5, &early).hold_after(20, &gate));
        chat.visitor.ask("Count, please.").await;
        let first = hear_text(&mut chat.visitor, &words(1, 5)).await;
        early.open();
        let shown = hear_text(&mut chat.visitor, &words(6, 20)).await;

        let mut second = chat.another().await;
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        assert_eq!(second.resume(&session, cursor_at(&shown)).await.frame["recovered"], true);
        let mut third = chat.another().await;
        assert_eq!(third.resume(&session, cursor_at(&first)).await.frame["recovered"], true);
        assert_eq!(hear_text(&mut third, &words(6, 20)).await["replay"], true);
        let mut fourth = chat.another().await;
        let back = fourth.resume(&session, cursor_at(&shown)).await.frame;
        assert_eq!(contents(&back["history"]), ["Count, please."], "what follows as deltas is not there twice");
        gate.open();
        let rest = fourth.rest_of_answer().await;
        assert_eq!((rest.text, rest.done["status"].as_str()), (words(21, 40), Some("complete")));
        assert_eq!(rest.seqs.last(), Some(&40));
        assert_eq!(chat.upstream.requests().len(), 1);
    }

    async fn an_answer_under_way_is_said_from_its_beginning_to_who_has_shown_nothing(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of_many(40).hold_after(20, &gate));
        chat.visitor.ask("Count, please.").await;
        hear_text(&mut chat.visitor, &words(1, 20)).await;
        for cursor in [NOTHING_SHOWN, json!({"turn_id": session.session_id, "seq": 1})] {
            let mut other = chat.another().await;
            let back = other.resume(&session, cursor).await.frame;
            assert_eq!(back["recovered"], false);
            assert_eq!(contents(&back["history"]), ["Count, please."]);
            let caught_up = hear_text(&mut other, &words(1, 20)).await;
            assert_eq!((&caught_up["seq"], &caught_up["replay"]), (&json!(20), &json!(true)));
            chat.visitor = other;
        }
        gate.open();
        assert_eq!(chat.visitor.rest_of_answer().await.text, words(21, 40));
    }

    async fn an_answer_that_ended_meanwhile_is_caught_up_with(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of_many(400).hold_after(20, &gate));
        chat.visitor.ask("Count, please.").await;
        let shown = hear_text(&mut chat.visitor, &words(1, 20)).await;
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        gate.open();
        chat.turn_ended().await;
        let back = chat.visitor.resume(&session, cursor_at(&shown)).await.frame;
        assert_eq!(back["recovered"], true);
        let rest = chat.visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), (words(21, 400).as_str(), "complete"));
        assert!(rest.deltas.iter().all(|delta| delta["replay"] == true));
        chat.visitor.ask_and_hear("And now?").await;
        chat.upstream.next_request().await;
        let request = chat.upstream.next_request().await;
        assert_eq!(request.messages()[2]["content"], words(1, 400), "once in the next prompt");
        assert_eq!(request.messages().len(), 4);
    }

    async fn a_conversation_resumed_elsewhere_leaves_the_first_connection(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let mut second = chat.another().await;
        second.resume(&session, NOTHING_SHOWN).await;
        assert_eq!(chat.visitor.hear_close().await, 4409);
        chat.visitor.ask("Does this still count?").await;
        second.ask_and_hear("Who?").await;
        assert_eq!(chat.upstream.requests().len(), 1);
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
    }

    async fn a_conversation_resumed_at_another_server_can_no_longer_be_written_at_the_first(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let other_server = Server::start(ServerConfig::serve(&store, &chat.upstream)).await;
        let mut second = ChatClient::connect(&other_server).await;
        second.resume(&session, NOTHING_SHOWN).await;
        chat.visitor.ask("Does this still count?").await;
        chat.visitor.hear_error("SESSION_NOT_FOUND").await;
        assert_eq!(chat.visitor.hear_close().await, 4409);
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 0);
        assert_eq!(second.ask_and_hear("Who?").await.status(), "complete");
    }
}
