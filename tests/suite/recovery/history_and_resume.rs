//! Reading the transcript and resuming a session, at the exact delta.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{SessionInfo, contents, cursor_at};
use crate::support::client::chat::{Chat, receive_text};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{pause_at, unpause, wait_until_paused};
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

const NO_CURSOR: Value = Value::Null;

/// Returns the words `from..=until` of [`Script::with_numbered_words`].
fn numbered_words(from: usize, until: usize) -> String {
    (from..=until).map(|word| format!("w{word} ")).collect()
}

on_both_stores! {
    async fn history_is_paged_in_order(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        for round in 1..=5 {
            chat.upstream.queue(Script::from_words(&[&format!("Answer {round}.")]));
            chat.visitor.ask_and_wait(&format!("Question {round}?")).await;
        }

        let all = chat.visitor.history(json!({})).await;
        assert_eq!(all["more"], false);

        let expected: Vec<_> =
            (1..=5).flat_map(|round| [format!("Question {round}?"), format!("Answer {round}.")]).collect();
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

    async fn history_read_before_the_end_of_an_answer_is_not_sent_after_it(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, "One ").await;
        pause_at(&chat.server, "PersistenceAfterRead").await;
        chat.visitor.send(json!({"type": "history"})).await;
        wait_until_paused(&chat.server, "PersistenceAfterRead").await;
        gate.open();
        let end = chat.visitor.receive_rest().await;

        assert_eq!((end.status(), &end.done["durable"]), ("complete", &json!(true)));

        unpause(&chat.server, "PersistenceAfterRead").await;
        let history = chat.visitor.expect_frame("history").await;
        assert_eq!(contents(&history["messages"]), ["Count, please.", "One two."]);
        assert_eq!(history["messages"][1]["status"], "complete");
    }

    async fn resumed_session_has_its_history_and_continues(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["In ", "Lisbon."])).queue(Script::from_words(&["Rust."]));

        let last = chat.visitor.ask_and_wait("Where does she live?").await;
        chat.visitor = chat.connect().await;
        let back = chat.visitor.resume(&session, NO_CURSOR).await.frame;

        assert_eq!((&back["resumed"], &back["recovered"]), (&json!(true), &json!(false)));
        assert_eq!(contents(&back["history"]), ["Where does she live?", "In Lisbon."]);
        assert_eq!(back["limits"]["remaining"], last.done["remaining"]);
        assert_eq!(back["session_id"], session.frame["session_id"]);

        chat.visitor.ask_and_wait("And which language?").await;
        chat.upstream.next_request().await;
        assert_eq!(
            chat.upstream.next_request().await.messages().len(),
            4,
            "the prompt lacks the conversation"
        );
    }

    async fn wrong_token_and_unknown_session_give_the_same_error(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        let reversed: String = session.resume_token.chars().rev().collect();
        let mut other = chat.connect().await;
        let mut errors = Vec::new();

        for (session_id, resume_token) in [
            (session.session_id.as_str(), reversed.as_str()),
            (session.session_id.as_str(), ""),
            (session.session_id.as_str(), &"x".repeat(10_000)),
            ("0192e4a0-0000-7000-8000-000000000000", session.resume_token.as_str()),
        ] {
            let frame = session.frame.clone();
            let stranger =
                SessionInfo { session_id: session_id.into(), resume_token: resume_token.into(), frame };
            other.send_resume(&stranger, NO_CURSOR).await;
            errors.push(other.expect_error("SESSION_NOT_FOUND").await);
        }

        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:#?}");
        chat.visitor.expect_no_more_frames().await;
        assert_eq!(
            other.start().await.frame["resumed"],
            false,
            "a failed resume must not prevent a new session"
        );
    }

    async fn resume_after_the_session_ttl_is_rejected(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("SESSION_TTL", "1h")]).await;
        let session = chat.visitor.start().await;
        let mut other = chat.connect().await;
        store.execute("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - 3601000").await;

        other.send_resume(&session, NO_CURSOR).await;
        let error = other.expect_error("SESSION_EXPIRED").await;

        assert_eq!(error["retryable"], false);

        store.execute("UPDATE sessions SET last_seen_at_ms = last_seen_at_ms + 60000").await;
        other.resume(&session, NO_CURSOR).await;
    }

    async fn resume_continues_after_the_last_delta_shown(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let (early_gate, gate) = (Gate::default(), Gate::default());
        chat.upstream.queue(Script::with_numbered_words(40).hold_after(5, &early_gate).hold_after(20, &gate));

        chat.visitor.ask("Count, please.").await;
        let first = receive_text(&mut chat.visitor, &numbered_words(1, 5)).await;
        early_gate.open();
        let shown = receive_text(&mut chat.visitor, &numbered_words(6, 20)).await;

        let mut second = chat.connect().await;
        chat.drop_and_reconnect().await;
        assert_eq!(second.resume(&session, cursor_at(&shown)).await.frame["recovered"], true);

        let mut third = chat.connect().await;
        assert_eq!(third.resume(&session, cursor_at(&first)).await.frame["recovered"], true);
        assert_eq!(receive_text(&mut third, &numbered_words(6, 20)).await["replay"], true);

        let mut fourth = chat.connect().await;
        let back = fourth.resume(&session, cursor_at(&shown)).await.frame;
        assert_eq!(
            contents(&back["history"]),
            ["Count, please."],
            "the answer in progress is in the history, too"
        );

        gate.open();
        let rest = fourth.receive_rest().await;
        assert_eq!((rest.text, rest.done["status"].as_str()), (numbered_words(21, 40), Some("complete")));
        assert_eq!(rest.seqs.last(), Some(&40));
        assert_eq!(chat.upstream.requests().len(), 1);
    }

    async fn resume_without_a_cursor_replays_the_answer_in_progress(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::with_numbered_words(40).hold_after(20, &gate));

        chat.visitor.ask("Count, please.").await;
        receive_text(&mut chat.visitor, &numbered_words(1, 20)).await;

        for cursor in [NO_CURSOR, json!({"turn_id": session.session_id, "seq": 1})] {
            let mut other = chat.connect().await;
            let back = other.resume(&session, cursor).await.frame;
            assert_eq!(back["recovered"], false);
            assert_eq!(contents(&back["history"]), ["Count, please."]);
            let caught_up = receive_text(&mut other, &numbered_words(1, 20)).await;
            assert_eq!((&caught_up["seq"], &caught_up["replay"]), (&json!(20), &json!(true)));
            chat.visitor = other;
        }

        gate.open();
        assert_eq!(chat.visitor.receive_rest().await.text, numbered_words(21, 40));
    }

    async fn resume_replays_the_rest_of_an_answer_that_has_ended(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::with_numbered_words(400).hold_after(20, &gate));

        chat.visitor.ask("Count, please.").await;
        let shown = receive_text(&mut chat.visitor, &numbered_words(1, 20)).await;
        chat.drop_and_reconnect().await;
        gate.open();
        chat.wait_for_turn_end().await;
        let back = chat.visitor.resume(&session, cursor_at(&shown)).await.frame;

        assert_eq!(back["recovered"], true);

        let rest = chat.visitor.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), (numbered_words(21, 400).as_str(), "complete"));
        assert!(rest.deltas.iter().all(|delta| delta["replay"] == true));

        chat.visitor.ask_and_wait("And now?").await;
        chat.upstream.next_request().await;
        let request = chat.upstream.next_request().await;

        assert_eq!(
            request.messages()[2]["content"],
            numbered_words(1, 400),
            "the next prompt lacks the answer"
        );
        assert_eq!(request.messages().len(), 4);
    }

    async fn takeover_closes_the_first_connection(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let mut second = chat.connect().await;

        second.resume(&session, NO_CURSOR).await;
        assert_eq!(chat.visitor.wait_for_close().await, 4409);

        chat.visitor.ask("Does this still count?").await;
        second.ask_and_wait("Who?").await;
        assert_eq!(chat.upstream.requests().len(), 1);
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
    }

    async fn takeover_on_another_instance_rejects_writes_of_the_first(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let other_server = Server::start(ServerConfig::serve(&store, &chat.upstream)).await;
        let mut second = ChatClient::connect(&other_server).await;

        second.resume(&session, NO_CURSOR).await;
        chat.visitor.ask("Does this still count?").await;

        chat.visitor.expect_error("SESSION_NOT_FOUND").await;
        assert_eq!(chat.visitor.wait_for_close().await, 4409);
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 0);
        assert_eq!(second.ask_and_wait("Who?").await.status(), "complete");
    }
}
