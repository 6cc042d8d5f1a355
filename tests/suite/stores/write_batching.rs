//! Write batching: waiting writes are committed together, but each succeeds or fails on its own.

use serde_json::json;

use crate::on_both_stores;
use crate::support::client::answer::SessionInfo;
use crate::support::client::chat::{Chat, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::server::failpoints::{pause_at, unpause, wait_for_metric, wait_until_paused};
use crate::support::server::metrics_scrape::Scrape;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};

/// The number of questions that the persistence actor has received.
const RECEIVED_QUESTIONS: &str = "mailbox_wait_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}";

/// Starts a session and asks one question, so that the server has loaded the budgets of the
/// session.
async fn start_settled_session(chat: &Chat) -> (ChatClient, SessionInfo) {
    let mut visitor = chat.connect().await;
    let session = visitor.start().await;
    visitor.ask_and_wait("Before?").await;
    (visitor, session)
}

/// Simulates a takeover of the session by another instance.
async fn supersede(store: &FreshStore, session_id: &str) {
    store.execute(&format!("UPDATE sessions SET epoch = epoch + 1 WHERE id = '{session_id}'")).await;
}

/// Simulates a question with the id `q1` that another instance has stored.
async fn insert_turn_with_id_q1(store: &FreshStore, session_id: &str) {
    let turn = format!(
        "INSERT INTO turns (id, session_id, client_id, status, asked_at_ms)
         VALUES ('01a21200-0000-7000-8000-000000000000', '{session_id}', 'q1', 'complete', 1)"
    );
    store.execute(&turn).await;
}

/// Simulates another instance that has charged the session almost up to its limit of 20,000 tokens.
async fn use_up_budget(store: &FreshStore, session_id: &str) {
    store.execute(&format!("UPDATE sessions SET tokens = 19990 WHERE id = '{session_id}'")).await;
}

/// Pauses the writer while it commits a batch with the question of `current`, so that later writes
/// wait for the next batch.
async fn pause_writer_with_current_batch(chat: &Chat, current: &mut ChatClient) {
    pause_at(&chat.server, "WriterBatch").await;
    current.ask_with_id("q1", "In hand?").await;
    wait_until_paused(&chat.server, "WriterBatch").await;
}

/// Returns SQL that makes inserts of the message `Never!` fail, and SQL that undoes this.
fn failing_insert(store: &FreshStore) -> [&'static str; 2] {
    match store.kind() {
        StoreKind::Postgres => [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON messages
                FOR EACH ROW WHEN (NEW.content = 'Never!') EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON messages",
        ],
        StoreKind::Sqlite => [
            "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.content = 'Never!'
                BEGIN SELECT RAISE(ABORT, 'not this one'); END",
            "DROP TRIGGER refuse",
        ],
    }
}

on_both_stores! {
    async fn questions_in_one_batch_succeed_or_fail_independently(store: FreshStore) {
        let limits = [("SESSION_TOKEN_LIMIT", "20000"), ("DAILY_TOKEN_LIMIT", "1000000")];
        let chat = Chat::with_store(&store, &limits).await;
        let (mut current, _) = start_settled_session(&chat).await;
        let (mut good, _) = start_settled_session(&chat).await;
        let (mut second, _) = start_settled_session(&chat).await;
        let (mut superseded, superseded_session) = start_settled_session(&chat).await;
        let (mut duplicate, duplicate_session) = start_settled_session(&chat).await;
        let (mut over_budget, over_budget_session) = start_settled_session(&chat).await;

        // Changes by another instance that this one has not seen.
        supersede(&store, &superseded_session.session_id).await;
        insert_turn_with_id_q1(&store, &duplicate_session.session_id).await;
        use_up_budget(&store, &over_budget_session.session_id).await;
        let used_tokens = "SELECT CAST(tokens AS BIGINT) FROM spending";
        let used_before = store.query_number(used_tokens).await;
        let commits = async || Scrape::fetch(&chat.server).await.value("store_commits_total");
        let commits_before = commits().await;

        pause_writer_with_current_batch(&chat, &mut current).await;
        for visitor in [&mut good, &mut superseded, &mut duplicate, &mut over_budget, &mut second] {
            visitor.ask_with_id("q1", "And now?").await;
        }
        wait_for_metric(&chat.server, RECEIVED_QUESTIONS, 6.0 + 6.0).await;
        unpause(&chat.server, "WriterBatch").await;

        for visitor in [&mut current, &mut good, &mut second] {
            let answer = visitor.receive_answer().await;
            assert_eq!((&answer.accepted["durable"], answer.status()), (&json!(true), "complete"));
            assert_eq!(answer.done["durable"], true);
        }

        for (visitor, code) in [
            (&mut superseded, "SESSION_NOT_FOUND"),
            (&mut duplicate, "DUPLICATE_ID"),
            (&mut over_budget, "BUDGET_EXCEEDED"),
        ] {
            assert_eq!(visitor.expect_error(code).await["id"], "q1");
        }

        // Two batches of questions, and at most one batch per answer.
        assert!(commits().await - commits_before <= 5.0, "the questions were not stored in one batch");
        assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE client_id = 'q1'").await, 4);
        assert_eq!(store.query_number("SELECT count(*) FROM messages WHERE role = 'user'").await, 6 + 3);
        // Each of the three answers used as many tokens as one of the six before.
        assert_eq!(
            store.query_number(used_tokens).await - used_before,
            used_before / 2,
            "a rejected question has a reservation"
        );
    }

    async fn write_with_an_unknown_error_is_retried_without_failing_its_batch(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let (mut current, _) = start_settled_session(&chat).await;
        let (mut good, _) = start_settled_session(&chat).await;
        let (mut rejected, _) = start_settled_session(&chat).await;

        let [create_trigger, drop_trigger] = failing_insert(&store);
        store.execute(create_trigger).await;

        pause_writer_with_current_batch(&chat, &mut current).await;
        for (visitor, question, received) in [(&mut good, "And now?", 5.0), (&mut rejected, "Never!", 6.0)] {
            visitor.ask_with_id("q1", question).await;
            wait_for_metric(&chat.server, RECEIVED_QUESTIONS, received).await;
        }
        unpause(&chat.server, "WriterBatch").await;
        chat.server
            .wait_for_log("the individual retries", |line| {
                line["msg"] == "a group of writes was refused, trying one by one"
            })
            .await;
        assert_eq!(good.receive_answer().await.accepted["durable"], true);

        let answer = rejected.receive_answer().await;
        assert_eq!((answer.status(), &answer.accepted["durable"]), ("complete", &json!(false)));

        wait_for_metric(&chat.server, "store_away", 1.0).await;
        store.execute(drop_trigger).await;

        let complete = "SELECT count(*) FROM turns WHERE client_id = 'q1' AND status = 'complete'";
        wait_until_stored(&store, complete, 3).await;
        assert_eq!(store.query_number("SELECT count(*) FROM messages WHERE content = 'Never!'").await, 1);
    }
}
