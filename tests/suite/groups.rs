//! Writes that wait are committed together, and each comes to what it would have come to alone.

use serde_json::json;

use crate::on_both_stores;
use crate::support::answer::SessionInfo;
use crate::support::chat::Chat;
use crate::support::chat_client::ChatClient;
use crate::support::faults::{hold, release, until_held, until_metric};
use crate::support::scrape::Scrape;

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
        let day = "SELECT CAST(tokens AS BIGINT) FROM spending";
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
}
