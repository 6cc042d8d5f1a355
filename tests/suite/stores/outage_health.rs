//! Health reports during outages of the database, including a full disk.

use std::time::Duration;

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::chat::{QUESTIONS_IN_ORDER, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{metric, wait_for_metric};
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

async fn create_store(store: StoreKind, test: &str) -> Option<FreshStore> {
    store.create_for(&format!("{}::{test}", module_path!())).await
}

/// Returns the status code of deep health and readiness, which must agree, and the database status.
async fn reported_health(server: &Server) -> (u16, String) {
    let deep = get(server, "/health?deep=true").await;
    assert_eq!(get(server, "/health/ready").await.status, deep.status, "{deep:?}");
    let database = deep.json()["checks"]["database"]["status"].as_str().map(ToOwned::to_owned);
    (deep.status, database.unwrap_or_default())
}

async fn wait_for_health(server: &Server, status: u16, database: &str) {
    let polling = async {
        while reported_health(server).await != (status, database.to_owned()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(&format!("health {status} and database {database}"), polling).await;
}

/// Asks a question during an outage. The answer must be complete but not durable.
async fn ask_during_outage(visitor: &mut ChatClient, question: &str) {
    let answer = visitor.ask_and_wait(question).await;
    let durable = (&answer.accepted["durable"], &answer.done["durable"]);
    assert_eq!((answer.status(), durable), ("complete", (&json!(false), &json!(false))));
}

#[tokio::test]
async fn full_disk_delays_writes_and_keeps_their_order() {
    let Some(store) = create_store(StoreKind::Sqlite, "full_disk_delays_writes").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;

    visitor.ask_and_wait("zero").await;
    assert_eq!(reported_health(&server).await, (200, "healthy".to_owned()));

    server.limit_file_size(Some(1));
    for question in ["one", "two", "three"] {
        ask_during_outage(&mut visitor, question).await;
        wait_for_health(&server, 503, "unhealthy").await;
    }

    assert_eq!(metric(&server, "store_away").await, 1.0);
    assert_eq!(get(&server, "/health/live").await.status, 200);

    server.limit_file_size(None);
    wait_for_metric(&server, "store_away", 0.0).await;
    wait_for_health(&server, 200, "healthy").await;

    assert_eq!(visitor.ask_and_wait("four").await.done["durable"], true);
    assert_eq!(store.query_texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two", "three", "four"]);

    server.terminate().await;
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 5);
    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 10);
}

/// Simulates a full disk of PostgreSQL: inserts into one table fail, everything else works.
const DISK_FULL_TRIGGER: &str = "
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file \"base/5/16400\": No space left on device' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION no_room();";

#[tokio::test]
async fn full_postgresql_disk_delays_writes_and_keeps_their_order() {
    let Some(store) = create_store(StoreKind::Postgres, "full_postgresql_disk").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;

    visitor.ask_and_wait("zero").await;
    store.execute(DISK_FULL_TRIGGER).await;

    for question in ["one", "two", "three"] {
        ask_during_outage(&mut visitor, question).await;
        wait_for_health(&server, 503, "unhealthy").await;
    }

    store.execute("DROP TRIGGER no_room ON messages").await;
    wait_for_health(&server, 200, "healthy").await;

    assert_eq!(visitor.ask_and_wait("four").await.done["durable"], true);
    assert_eq!(store.query_texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two", "three", "four"]);
    assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 5);
    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 10);
}

on_both_stores! {
    async fn health_reports_the_outage_and_recovery(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;

        assert_eq!(reported_health(&server).await, (200, "healthy".to_owned()));

        let outage = store.take_offline().await;
        for question in ["one", "two", "three"] {
            ask_during_outage(&mut visitor, question).await;
        }
        wait_for_health(&server, 503, "unhealthy").await;

        assert!(metric(&server, "store_waiting_writes").await > 0.0);

        outage.end().await;
        wait_for_health(&server, 200, "healthy").await;
        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;

        assert_eq!(store.query_texts(QUESTIONS_IN_ORDER).await, ["one", "two", "three"]);
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 6);
        assert_eq!(visitor.ask_and_wait("four").await.done["durable"], true);

        wait_for_metric(&server, "store_waiting_writes", 0.0).await;
    }

    async fn resume_during_an_outage_is_rejected_as_retryable(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let (mut visitor, gate) = (ChatClient::connect(&server).await, Gate::default());
        let session = visitor.start().await;
        upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));

        visitor.ask("Count, please.").await;
        let shown = visitor.receive_until("delta").await.pop().unwrap();
        let outage = store.take_offline().await;
        visitor.drop_abruptly();
        let mut back = ChatClient::connect(&server).await;
        back.send_resume(&session, json!(null)).await;

        assert_eq!(back.expect_error("STORAGE_UNAVAILABLE").await["retryable"], true);

        outage.end().await;
        // The answer is still in progress and completes after the resume.
        let cursor = crate::support::client::answer::cursor_at(&shown);
        let resumed = async {
            loop {
                back.send_resume(&session, cursor.clone()).await;
                let frame = back.receive().await;
                if frame["type"] == "session" {
                    return frame;
                }
                let code: &Value = &frame["code"];
                assert_eq!(code, "STORAGE_UNAVAILABLE", "{frame}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };

        assert_eq!(within("the session to be resumed", resumed).await["recovered"], true);

        gate.open();
        let rest = back.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
    }
}
