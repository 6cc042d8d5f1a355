//! Resuming an answer from the store, after its stream buffer in memory is gone.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::{Answer, SessionInfo, cursor_at};
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// Returns the words `from..=until` of [`Script::with_numbered_words`].
fn numbered_words(from: usize, until: usize) -> String {
    (from..=until).map(|word| format!("w{word} ")).collect()
}

/// Resumes a turn after delta `seq` on a new connection, and returns the rest of the answer.
async fn resume_after(chat: &Chat, session: &SessionInfo, turn: &Value, seq: usize) -> (ChatClient, Answer) {
    let mut visitor = chat.connect().await;
    let back = visitor.resume(session, json!({"turn_id": turn, "seq": seq})).await.frame;
    assert_eq!(back["recovered"], true, "after {seq}: {back}");
    let roles: Vec<&Value> =
        back["history"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user"], "the answer is in the history, too");
    let answer = visitor.receive_rest().await;
    assert!(answer.deltas.iter().all(|delta| delta["replay"] == true), "{answer:?}");
    (visitor, answer)
}

/// Checks that this cursor is not recovered, so that the whole answer is in the history.
async fn assert_not_recovered(chat: &Chat, session: &SessionInfo, cursor: Value) {
    let mut visitor = chat.connect().await;
    let back = visitor.resume(session, cursor.clone()).await.frame;
    assert_eq!(back["recovered"], false, "{cursor}");
    let roles: Vec<&Value> =
        back["history"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant"], "{cursor}");
    visitor.expect_no_more_frames().await;
}

on_both_stores! {
    async fn finished_answer_resumes_at_every_delta_after_a_restart(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::with_numbered_words(12).model("other/model"));

        let first = chat.visitor.ask_and_wait("Count, please.").await;
        let turn = first.done["turn_id"].clone();
        chat.kill_and_restart().await;

        for seq in 0..=12 {
            let (mut visitor, rest) = resume_after(&chat, &session, &turn, seq).await;
            assert_eq!(rest.text, numbered_words(seq + 1, 12), "after {seq}");
            assert_eq!(rest.seqs.last().copied().unwrap_or(12), 12, "after {seq}");
            for field in ["status", "mode", "model", "usage", "citations", "durable"] {
                assert_eq!(rest.done.get(field), first.done.get(field), "{field} after {seq}");
            }
            visitor.expect_no_more_frames().await;
            chat.visitor = visitor;
        }

        for cursor in [json!({"turn_id": turn, "seq": 13}), json!({"turn_id": session.session_id, "seq": 1})]
        {
            assert_not_recovered(&chat, &session, cursor).await;
        }

        // A replayed answer is in the prompt once.
        let (mut visitor, _) = resume_after(&chat, &session, &turn, 5).await;
        chat.upstream.next_request().await;
        visitor.ask_and_wait("And now?").await;
        let request = chat.upstream.next_request().await;

        assert_eq!(request.messages().len(), 4);
        assert_eq!(request.messages()[2]["content"], numbered_words(1, 12));
    }

    async fn finished_answer_resumes_after_its_buffer_was_dropped(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("RECONNECT_GRACE", "500ms")]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::with_numbered_words(6));

        let turn = chat.visitor.ask_and_wait("Count, please.").await.done["turn_id"].clone();
        // The buffer is dropped within these seconds. The result is the same before and after.
        for _ in 0..8 {
            let (visitor, rest) = resume_after(&chat, &session, &turn, 2).await;
            assert_eq!((rest.text.as_str(), rest.status()), (numbered_words(3, 6).as_str(), "complete"));
            drop(visitor);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    async fn interrupted_answer_resumes_up_to_its_stored_end_after_a_kill(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::with_numbered_words(9).hold_after(4, &gate).hang_after(7));

        chat.visitor.ask("Count, please.").await;
        let shown = receive_text(&mut chat.visitor, &numbered_words(1, 4)).await;
        let saved = format!("SELECT count(*) FROM messages WHERE content = '{}'", numbered_words(1, 4));
        wait_until_stored(&store, &saved, 1).await;
        gate.open();
        let beyond = receive_text(&mut chat.visitor, &numbered_words(5, 7)).await;
        chat.kill_and_restart().await;

        for seq in [1, 3, 4] {
            let (visitor, rest) = resume_after(&chat, &session, &shown["turn_id"], seq).await;
            assert_eq!(
                (rest.text.as_str(), rest.status()),
                (numbered_words(seq + 1, 4).as_str(), "interrupted")
            );
            drop(visitor);
        }

        assert_not_recovered(&chat, &session, cursor_at(&beyond)).await;
    }

    async fn answer_without_stored_delta_lengths_is_replayed_in_one_delta(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::with_numbered_words(6));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.receive_answer().await;
        store.execute("UPDATE messages SET delta_lengths = NULL").await;
        chat.kill_and_restart().await;

        for seq in [1, 2] {
            assert_not_recovered(&chat, &session, json!({"turn_id": first.done["turn_id"], "seq": seq}))
                .await;
        }

        chat.visitor.resume(&session, json!(null)).await;
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let again = chat.visitor.receive_answer().await;

        assert_eq!((again.text.as_str(), again.seqs), (numbered_words(1, 6).as_str(), vec![1]));
    }

    async fn repeated_question_replays_the_original_sequence_numbers(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::with_numbered_words(2000));

        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.receive_answer().await;
        chat.kill_and_restart().await;
        chat.visitor.resume(&session, json!(null)).await;
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let mut shown = String::new();
        let accepted = chat.visitor.expect_frame("accepted").await;

        assert_eq!(accepted["duplicate"], true);

        let delta = chat.visitor.expect_frame("delta").await;
        shown.push_str(delta["text"].as_str().unwrap());
        assert!(
            shown.len() < first.text.len() && shown.len() > 4096,
            "expected a large part of the text, got {} bytes",
            shown.len()
        );

        // The numbers are the original ones, so a client that disconnects now can resume.
        chat.drop_and_reconnect().await;
        chat.visitor.resume(&session, cursor_at(&delta)).await;
        shown.push_str(&chat.visitor.receive_rest().await.text);

        assert_eq!(shown, first.text);
    }

    async fn replayed_failure_keeps_its_error_code(store: FreshStore) {
        let mut chat =
            Chat::with_store(&store, &[("LLM_IDLE_TIMEOUT", "300ms"), ("LLM_MAX_RETRIES", "0")]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::from_words(&["Some ", "more "]).hang_after(1));
        chat.visitor.ask_with_id("q1", "Who?").await;
        let first = chat.visitor.receive_answer().await;

        assert_eq!((first.status(), &first.error["code"]), ("failed", &json!("API_TIMEOUT")));

        chat.kill_and_restart().await;
        let back = chat.visitor.resume(&session, json!({"turn_id": first.done["turn_id"], "seq": 0})).await;
        assert_eq!(back.frame["recovered"], true);

        let rest = chat.visitor.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("Some ", "failed"));
        assert_eq!(rest.error["code"], "API_TIMEOUT");

        chat.visitor.ask_with_id("q1", "Who?").await;
        assert_eq!(chat.visitor.receive_answer().await.error["code"], "API_TIMEOUT");
    }

    async fn concurrent_resumes_leave_one_connection_with_the_session(store: FreshStore) {
        const CONNECTIONS: usize = 8;
        let chat = Chat::with_store(&store, &[]).await;
        let mut visitor = chat.connect().await;
        let session = visitor.start().await;

        visitor.drop_abruptly();
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(chat.connect().await);
        }
        let resuming = connections.into_iter().map(|mut connection| {
            let session = &session;
            async move {
                connection.resume(session, Value::Null).await;
                connection
            }
        });
        let connections = futures_util::future::join_all(resuming).await;

        assert_eq!(
            store.query_number("SELECT epoch FROM sessions").await,
            i64::try_from(CONNECTIONS).unwrap()
        );

        // All connections ask. The owner of the session gets an answer, the others are closed.
        let asking = connections.into_iter().map(|mut connection| async move {
            connection.ask("Who is there?").await;
            loop {
                match connection.receive_or_close().await {
                    Ok(frame) if frame["type"] == "done" => return None,
                    Ok(frame) => assert_ne!(frame["type"], "error", "{frame}"),
                    Err(code) => return Some(code),
                }
            }
        });
        let ends = futures_util::future::join_all(asking).await;
        assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 1, "{ends:?}");
        assert!(ends.iter().flatten().all(|code| *code == 4409), "{ends:?}");
        assert_eq!(store.query_number("SELECT count(*) FROM turns").await, 1);
    }

    async fn session_ttl_counts_from_the_last_use(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[("SESSION_TTL", "1h")]).await;
        let session = chat.visitor.start().await;
        let fifty_minutes_pass = "UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - 3000000";

        for _ in 0..2 {
            store.execute(fifty_minutes_pass).await;
            chat.visitor = chat.connect().await;
            chat.visitor.resume(&session, Value::Null).await;
        }

        for _ in 0..2 {
            store.execute(fifty_minutes_pass).await;
            chat.visitor.ask_and_wait("Still here?").await;
        }

        store.execute(fifty_minutes_pass).await;
        store.execute(fifty_minutes_pass).await;

        // Only a client with the token learns that the session existed.
        let reversed = session.resume_token.chars().rev().collect();
        let stranger = SessionInfo { resume_token: reversed, ..session.clone() };
        let mut other = chat.connect().await;
        other.send_resume(&stranger, Value::Null).await;

        other.expect_error("SESSION_NOT_FOUND").await;

        other.send_resume(&session, Value::Null).await;
        other.expect_error("SESSION_EXPIRED").await;
    }

    async fn question_ids_are_recognized_beyond_the_loaded_history(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        let session = chat.visitor.start().await;

        chat.visitor.ask_with_id("first", "The first?").await;
        let first = chat.visitor.receive_answer().await;
        // More turns than a resume loads. SQL is faster than asking questions.
        let id = |number: usize| format!("ffffffff-0000-7000-8000-{number:012}");
        let more = (0..110).map(|number| {
            format!(
                "INSERT INTO turns (id, session_id, client_id, status, asked_at_ms)
                 VALUES ('{0}', '{1}', 'q{number}', 'complete', 1);
                 INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms)
                 VALUES ('{0}', 'user', 'Question {number}?', 1, 1);",
                id(number),
                session.session_id
            )
        });
        store.execute(&more.collect::<String>()).await;
        chat.visitor = chat.connect().await;
        chat.visitor.resume(&session, Value::Null).await;
        chat.visitor.ask_with_id("first", "The first?").await;
        let again = chat.visitor.receive_answer().await;

        assert_eq!((&again.accepted["duplicate"], &again.text), (&json!(true), &first.text));
        assert_eq!(again.turn_id(), first.turn_id());

        chat.visitor.ask_with_id("q3", "Something else?").await;
        chat.visitor.expect_error("DUPLICATE_ID").await;
        assert_eq!(chat.upstream.requests().len(), 1, "a known question was sent upstream");

        chat.visitor.ask_with_id("new", "And this?").await;
        assert_eq!(chat.visitor.receive_answer().await.accepted["duplicate"], false);
    }
}
