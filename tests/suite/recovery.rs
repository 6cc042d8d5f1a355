//! To the exact word from the store alone: the log of an answer is gone, and its client goes on where it was.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::{Answer, SessionInfo, cursor_at};
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::gate::Gate;
use crate::support::script::Script;

/// `w1 w2 … `, as [`Script::of_many`] says them.
fn words(from: usize, until: usize) -> String {
    (from..=until).map(|word| format!("w{word} ")).collect()
}

/// What a client hears that has shown the deltas of a turn up to `seq`, on a connection of its own.
async fn what_was_missed(
    chat: &Chat,
    session: &SessionInfo,
    turn: &Value,
    seq: usize,
) -> (ChatClient, Answer) {
    let mut visitor = chat.another().await;
    let back = visitor.resume(session, json!({"turn_id": turn, "seq": seq})).await.frame;
    assert_eq!(back["recovered"], true, "after {seq}: {back}");
    let roles: Vec<&Value> = back["history"].as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!(roles, ["user"], "what follows as deltas is not there twice");
    let answer = visitor.rest_of_answer().await;
    assert!(answer.deltas.iter().all(|delta| delta["replay"] == true), "{answer:?}");
    (visitor, answer)
}

async fn is_void(chat: &Chat, session: &SessionInfo, cursor: Value) {
    let mut visitor = chat.another().await;
    let back = visitor.resume(session, cursor.clone()).await.frame;
    assert_eq!(back["recovered"], false, "{cursor}");
    let roles: Vec<&Value> = back["history"].as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!(roles, ["user", "assistant"], "{cursor}");
    visitor.hear_nothing_more().await;
}

on_both_stores! {
    async fn a_finished_answer_is_gone_on_with_at_every_word_after_a_restart(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of_many(12).model("other/model"));
        let first = chat.visitor.ask_and_hear("Count, please.").await;
        let turn = first.done["turn_id"].clone();
        chat.kill_and_start_again().await;
        for seq in 0..=12 {
            let (mut visitor, rest) = what_was_missed(&chat, &session, &turn, seq).await;
            assert_eq!(rest.text, words(seq + 1, 12), "after {seq}");
            assert_eq!(rest.seqs.last().copied().unwrap_or(12), 12, "after {seq}");
            for field in ["status", "mode", "model", "usage", "citations", "durable"] {
                assert_eq!(rest.done.get(field), first.done.get(field), "{field} after {seq}");
            }
            visitor.hear_nothing_more().await;
            chat.visitor = visitor;
        }
        for cursor in [json!({"turn_id": turn, "seq": 13}), json!({"turn_id": session.session_id, "seq": 1})] {
            is_void(&chat, &session, cursor).await;
        }
        // Said again, it is once in the prompt.
        let (mut visitor, _) = what_was_missed(&chat, &session, &turn, 5).await;
        chat.upstream.next_request().await;
        visitor.ask_and_hear("And now?").await;
        let request = chat.upstream.next_request().await;
        assert_eq!(request.messages().len(), 4);
        assert_eq!(request.messages()[2]["content"], words(1, 12));
    }

    async fn an_answer_is_gone_on_with_when_the_grace_has_ended_that_kept_its_log(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("RECONNECT_GRACE", "500ms")]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of_many(6));
        let turn = chat.visitor.ask_and_hear("Count, please.").await.done["turn_id"].clone();
        // The log is swept away at some time in these seconds; before and after are the same.
        for _ in 0..8 {
            let (visitor, rest) = what_was_missed(&chat, &session, &turn, 2).await;
            assert_eq!((rest.text.as_str(), rest.status()), (words(3, 6).as_str(), "complete"));
            drop(visitor);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    async fn after_a_kill_an_answer_is_gone_on_with_as_far_as_it_was_saved(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of_many(9).hold_after(4, &gate).hang_after(7));
        chat.visitor.ask("Count, please.").await;
        let shown = hear_text(&mut chat.visitor, &words(1, 4)).await;
        let saved = format!("SELECT count(*) FROM messages WHERE content = '{}'", words(1, 4));
        until_stored(&store, &saved, 1).await;
        gate.open();
        let beyond = hear_text(&mut chat.visitor, &words(5, 7)).await;
        chat.kill_and_start_again().await;
        for seq in [1, 3, 4] {
            let (visitor, rest) = what_was_missed(&chat, &session, &shown["turn_id"], seq).await;
            assert_eq!((rest.text.as_str(), rest.status()), (words(seq + 1, 4).as_str(), "interrupted"));
            drop(visitor);
        }
        is_void(&chat, &session, cursor_at(&beyond)).await;
    }

    async fn an_answer_that_an_older_version_stored_is_shown_in_the_transcript_and_said_again_in_one(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of_many(6));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.answer().await;
        store.execute("UPDATE messages SET delta_lengths = NULL").await;
        chat.kill_and_start_again().await;
        for seq in [1, 2] {
            is_void(&chat, &session, json!({"turn_id": first.done["turn_id"], "seq": seq})).await;
        }
        chat.visitor.resume(&session, json!(null)).await;
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let again = chat.visitor.answer().await;
        assert_eq!((again.text.as_str(), again.seqs), (words(1, 6).as_str(), vec![1]));
    }

    async fn a_question_sent_again_is_said_again_with_the_numbers_it_had(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of_many(2000));
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let first = chat.visitor.answer().await;
        chat.kill_and_start_again().await;
        chat.visitor.resume(&session, json!(null)).await;
        chat.visitor.ask_with_id("q1", "Count, please.").await;
        let mut shown = String::new();
        let accepted = chat.visitor.hear_type("accepted").await;
        assert_eq!(accepted["duplicate"], true);
        let delta = chat.visitor.hear_type("delta").await;
        shown.push_str(delta["text"].as_str().unwrap());
        assert!(shown.len() < first.text.len() && shown.len() > 4096, "large, but not the whole: {}", shown.len());
        // Its numbers are those of the log, so a client that is cut off now comes back to the very word.
        let other = chat.another().await;
        std::mem::replace(&mut chat.visitor, other).drop_abruptly();
        chat.visitor.resume(&session, cursor_at(&delta)).await;
        shown.push_str(&chat.visitor.rest_of_answer().await.text);
        assert_eq!(shown, first.text);
    }

    async fn a_failed_answer_fails_again_for_the_reason_it_had(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("LLM_IDLE_TIMEOUT", "300ms"), ("LLM_MAX_RETRIES", "0")]).await;
        let session = chat.visitor.start().await;
        chat.upstream.queue(Script::of(&["Some ", "more "]).hang_after(1));
        chat.visitor.ask_with_id("q1", "Who?").await;
        let first = chat.visitor.answer().await;
        assert_eq!((first.status(), &first.error["code"]), ("failed", &json!("API_TIMEOUT")));
        chat.kill_and_start_again().await;
        let back = chat.visitor.resume(&session, json!({"turn_id": first.done["turn_id"], "seq": 0})).await;
        assert_eq!(back.frame["recovered"], true);
        let rest = chat.visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("Some ", "failed"));
        assert_eq!(rest.error["code"], "API_TIMEOUT");
        chat.visitor.ask_with_id("q1", "Who?").await;
        assert_eq!(chat.visitor.answer().await.error["code"], "API_TIMEOUT");
    }

    async fn of_many_sockets_that_come_back_at_once_one_wins_and_the_others_are_told(store: FreshStore) {
        const RACERS: usize = 8;
        let chat = Chat::on(&store, &[]).await;
        let mut visitor = chat.another().await;
        let session = visitor.start().await;
        visitor.drop_abruptly();
        let mut racers = Vec::new();
        for _ in 0..RACERS {
            racers.push(chat.another().await);
        }
        let racing = racers.into_iter().map(|mut racer| {
            let session = &session;
            async move {
                racer.resume(session, Value::Null).await;
                racer
            }
        });
        let racers = futures_util::future::join_all(racing).await;
        assert_eq!(store.number("SELECT epoch FROM sessions").await, i64::try_from(RACERS).unwrap());
        // Everybody asks; the one that has the conversation is answered, the others hear that they have lost it.
        let asking = racers.into_iter().map(|mut racer| async move {
            racer.ask("Who is there?").await;
            loop {
                match racer.hear_or_close().await {
                    Ok(frame) if frame["type"] == "done" => return None,
                    Ok(frame) => assert_ne!(frame["type"], "error", "{frame}"),
                    Err(code) => return Some(code),
                }
            }
        });
        let ends = futures_util::future::join_all(asking).await;
        assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 1, "{ends:?}");
        assert!(ends.iter().flatten().all(|code| *code == 4409), "{ends:?}");
        assert_eq!(store.number("SELECT count(*) FROM turns").await, 1);
    }

    async fn a_conversation_lives_on_from_when_it_was_last_used(store: FreshStore) {
        let mut chat = Chat::on(&store, &[("SESSION_TTL", "1h")]).await;
        let session = chat.visitor.start().await;
        let fifty_minutes_pass = "UPDATE sessions SET last_seen_at_ms = last_seen_at_ms - 3000000";
        for _ in 0..2 {
            store.execute(fifty_minutes_pass).await;
            chat.visitor = chat.another().await;
            chat.visitor.resume(&session, Value::Null).await;
        }
        for _ in 0..2 {
            store.execute(fifty_minutes_pass).await;
            chat.visitor.ask_and_hear("Still here?").await;
        }
        store.execute(fifty_minutes_pass).await;
        store.execute(fifty_minutes_pass).await;
        // Only to who has the token it is told that there was one.
        let reversed = session.resume_token.chars().rev().collect();
        let stranger = SessionInfo { resume_token: reversed, ..session.clone() };
        let mut other = chat.another().await;
        other.ask_to_resume(&stranger, Value::Null).await;
        other.hear_error("SESSION_NOT_FOUND").await;
        other.ask_to_resume(&session, Value::Null).await;
        other.hear_error("SESSION_EXPIRED").await;
    }

    async fn an_id_is_recognised_however_many_questions_ago_it_was(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        let session = chat.visitor.start().await;
        chat.visitor.ask_with_id("first", "The first?").await;
        let first = chat.visitor.answer().await;
        // More than are read when a conversation is resumed; written here, because asking takes long.
        let id = |number: usize| format!("ffffffff-0000-7000-8000-{number:012}");
        let more = (0..110).map(|number| {
            format!(
                "INSERT INTO turns (id, session_id, client_id, status, asked_at_ms)
                 VALUES ('{0}', '{1}', 'q{number}', 'complete', 1);
                 INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms)
                 VALUES ('{0}', 'user', 'Question {number}?', 1, 1);",
                id(number), session.session_id
            )
        });
        store.execute(&more.collect::<String>()).await;
        chat.visitor = chat.another().await;
        chat.visitor.resume(&session, Value::Null).await;
        chat.visitor.ask_with_id("first", "The first?").await;
        let again = chat.visitor.answer().await;
        assert_eq!((&again.accepted["duplicate"], &again.text), (&json!(true), &first.text));
        assert_eq!(again.turn_id(), first.turn_id());
        chat.visitor.ask_with_id("q3", "Something else?").await;
        chat.visitor.hear_error("DUPLICATE_ID").await;
        assert_eq!(chat.upstream.requests().len(), 1, "nothing is asked that is known");
        chat.visitor.ask_with_id("new", "And this?").await;
        assert_eq!(chat.visitor.answer().await.accepted["duplicate"], false);
    }
}
