//! Writes that wait are committed together, and each comes to what it would have come to alone.

use serde_json::json;

use crate::on_both_stores;
use crate::support::answer::SessionInfo;
use crate::support::chat::{Chat, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::faults::{hold, release, until_held, until_metric};
use crate::support::scrape::Scrape;
use crate::support::stores::Store;

/// With a session of its own, of whose accounts the server knows what they have taken.
async fn settled(chat: &Chat) -> (ChatClient, SessionInfo) {
    let mut visitor = chat.another().await;
    let session = visitor.start().await;
    visitor.ask_and_hear("Before?").await;
    (visitor, session)
}

on_both_stores! {
    async fn questions_that_are_stored_together_are_judged_one_by_one(store: FreshStore) {
        let limits =
            [("SESSION_TOKEN_LIMIT", "20000"), ("DAILY_TOKEN_LIMIT", "1000000")];
        let chat = Chat::on(&store, &limits).await;
        let (mut in_hand, _) = settled(&chat).await;
        let (mut good, _) = settled(&chat).await;
        let (mut too, _) = settled(&chat).await;
        let (mut succeeded, of_another) = settled(&chat).await;
        let (mut twice, asked_elsewhere) = settled(&chat).await;
        let (mut spent, spent_elsewhere) = settled(&chat).await;
        // What another server does, of which this one knows nothing.
        store.execute(&format!(
            "UPDATE sessions SET epoch = epoch + 1 WHERE id = '{}'", of_another.session_id
        )).await;
        store.execute(&format!(
            "INSERT INTO turns (id, session_id, client_id, status, asked_at_ms)
             VALUES ('01a21200-0000-7000-8000-000000000000', '{}', 'q1', 'complete', 1)",
            asked_elsewhere.session_id
        )).await;
        store.execute(&format!(
            "UPDATE sessions SET tokens = 19990 WHERE id = '{}'", spent_elsewhere.session_id
        )).await;
        let day = "SELECT CAST(tokens AS BIGINT) FROM daily_budgets";
        let before = store.number(day).await;
        let commits = async || Scrape::of(&chat.server).await.value("store_commits_total");
        let committed = commits().await;

        hold(&chat.server, "WriterGroup").await;
        in_hand.ask_with_id("q1", "In hand?").await;
        until_held(&chat.server, "WriterGroup").await;
        for visitor in [&mut good, &mut succeeded, &mut twice, &mut spent, &mut too] {
            visitor.ask_with_id("q1", "And now?").await;
        }
        let taken = "mailbox_wait_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}";
        until_metric(&chat.server, taken, 6.0 + 6.0).await;
        release(&chat.server, "WriterGroup").await;

        for visitor in [&mut in_hand, &mut good, &mut too] {
            let answer = visitor.answer().await;
            assert_eq!((&answer.accepted["durable"], answer.status()), (&json!(true), "complete"));
            assert_eq!(answer.done["durable"], true);
        }
        for (visitor, code) in
            [(&mut succeeded, "SESSION_NOT_FOUND"), (&mut twice, "DUPLICATE_ID"), (&mut spent, "BUDGET_EXCEEDED")]
        {
            assert_eq!(visitor.hear_error(code).await["id"], "q1");
        }
        // Two groups of questions, and each answer at most in one of its own.
        assert!(commits().await - committed <= 5.0, "the questions were not stored together");
        assert_eq!(store.number("SELECT count(*) FROM turns WHERE client_id = 'q1'").await, 4);
        assert_eq!(store.number("SELECT count(*) FROM messages WHERE role = 'user'").await, 6 + 3);
        // Each of the three answers took as much as one of the six before.
        assert_eq!(store.number(day).await - before, before / 2, "what was refused is not set aside");
    }

    async fn a_write_that_is_refused_without_a_reason_does_not_take_others_with_it_and_is_not_given_up_soon(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let (mut in_hand, _) = settled(&chat).await;
        let (mut good, _) = settled(&chat).await;
        let (mut refused, _) = settled(&chat).await;
        let [refuse, forgive] = match store.store() {
            Store::Postgres => [
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
                CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.content = 'Never!') EXECUTE FUNCTION refuse()",
                "DROP TRIGGER refuse ON messages",
            ],
            Store::Sqlite => [
                "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.content = 'Never!'
                BEGIN SELECT RAISE(ABORT, 'not this one'); END",
                "DROP TRIGGER refuse",
            ],
        };
        store.execute(refuse).await;
        hold(&chat.server, "WriterGroup").await;
        in_hand.ask_with_id("q1", "In hand?").await;
        until_held(&chat.server, "WriterGroup").await;
        let taken = "mailbox_wait_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}";
        for (number, (visitor, question)) in [(&mut good, "And now?"), (&mut refused, "Never!")].into_iter().enumerate() {
            visitor.ask_with_id("q1", question).await;
            until_metric(&chat.server, taken, 5.0 + f64::from(u8::try_from(number).unwrap())).await;
        }
        release(&chat.server, "WriterGroup").await;
        chat.server
            .wait_for_log("that the group is parted", |line| {
                line["msg"] == "write batch failed, retrying writes individually"
            })
            .await;
        assert_eq!(good.answer().await.accepted["durable"], true);
        let answer = refused.answer().await;
        assert_eq!((answer.status(), &answer.accepted["durable"]), ("complete", &json!(false)));
        until_metric(&chat.server, "store_unavailable", 1.0).await;
        store.execute(forgive).await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE client_id = 'q1' AND status = 'complete'", 3).await;
        assert_eq!(store.number("SELECT count(*) FROM messages WHERE content = 'Never!'").await, 1);
    }
}
