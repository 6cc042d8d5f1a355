//! More ways in which a database goes away: its disk full, its file locked; and what is told of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::chat::{QUESTIONS_IN_ORDER, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::faults::{metric, until_metric};
use crate::support::gate::Gate;
use crate::support::http::get;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::stores::{FreshStore, Store};
use crate::support::within;

async fn fresh(store: Store, test: &str) -> Option<FreshStore> {
    store.fresh_for(&format!("{}::{test}", module_path!())).await
}

/// How deep health and readiness are, together: 200 or 503, and what the database is said to be.
async fn told(server: &Server) -> (u16, String) {
    let deep = get(server, "/health?deep=true").await;
    assert_eq!(get(server, "/health/ready").await.status, deep.status, "{deep:?}");
    let database = deep.json()["checks"]["database"]["status"].as_str().map(ToOwned::to_owned);
    (deep.status, database.unwrap_or_default())
}

async fn until_told(server: &Server, status: u16, database: &str) {
    let telling = async {
        while told(server).await != (status, database.to_owned()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(&format!("health to be {status}, the database {database}"), telling).await;
}

/// Asks while the database is away; the answer says that it is not stored.
async fn ask_in_the_dark(visitor: &mut ChatClient, question: &str) {
    let answer = visitor.ask_and_hear(question).await;
    let durable = (&answer.accepted["durable"], &answer.done["durable"]);
    assert_eq!((answer.status(), durable), ("complete", (&json!(false), &json!(false))));
}

#[tokio::test]
async fn a_disk_that_is_full_gets_everything_in_order_when_there_is_room() {
    let Some(store) = fresh(Store::Sqlite, "a_disk_that_is_full").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.ask_and_hear("zero").await;
    assert_eq!(told(&server).await, (200, "healthy".to_owned()));
    server.limit_files(Some(1));
    for question in ["one", "two", "three"] {
        ask_in_the_dark(&mut visitor, question).await;
        until_told(&server, 503, "unhealthy").await;
    }
    assert_eq!(metric(&server, "store_unavailable").await, 1.0);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    server.limit_files(None);
    until_metric(&server, "store_unavailable", 0.0).await;
    until_told(&server, 200, "healthy").await;
    assert_eq!(visitor.ask_and_hear("four").await.done["durable"], true);
    assert_eq!(store.texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two", "three", "four"]);
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 5);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 10);
}

/// As PostgreSQL refuses a row that it finds no room for, while it goes on with everything else.
const NO_ROOM: &str = "
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file \"base/5/16400\": No space left on device' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION no_room();";

#[tokio::test]
async fn a_postgresql_without_room_gets_everything_in_order_when_there_is_some() {
    let Some(store) = fresh(Store::Postgres, "a_postgresql_without_room").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.ask_and_hear("zero").await;
    store.execute(NO_ROOM).await;
    for question in ["one", "two", "three"] {
        ask_in_the_dark(&mut visitor, question).await;
        until_told(&server, 503, "unhealthy").await;
    }
    store.execute("DROP TRIGGER no_room ON messages").await;
    until_told(&server, 200, "healthy").await;
    assert_eq!(visitor.ask_and_hear("four").await.done["durable"], true);
    assert_eq!(store.texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two", "three", "four"]);
    assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 5);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 10);
}

on_both_stores! {
    async fn health_tells_the_truth_while_it_is_away_and_after(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        visitor.start().await;
        assert_eq!(told(&server).await, (200, "healthy".to_owned()));
        let outage = store.go_away().await;
        for question in ["one", "two", "three"] {
            ask_in_the_dark(&mut visitor, question).await;
        }
        until_told(&server, 503, "unhealthy").await;
        assert!(metric(&server, "store_write_queue_depth").await > 0.0);
        outage.end().await;
        until_told(&server, 200, "healthy").await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;
        assert_eq!(store.texts(QUESTIONS_IN_ORDER).await, ["one", "two", "three"]);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 6);
        assert_eq!(visitor.ask_and_hear("four").await.done["durable"], true);
        until_metric(&server, "store_write_queue_depth", 0.0).await;
    }

    async fn a_visitor_who_comes_back_while_it_is_away_is_told_to_try_again(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let (mut visitor, gate) = (ChatClient::connect(&server).await, Gate::default());
        let session = visitor.start().await;
        upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        visitor.ask("Count, please.").await;
        let shown = visitor.hear_until("delta").await.pop().unwrap();
        let outage = store.go_away().await;
        visitor.drop_abruptly();
        let mut back = ChatClient::connect(&server).await;
        back.ask_to_resume(&session, json!(null)).await;
        assert_eq!(back.hear_error("STORAGE_UNAVAILABLE").await["retryable"], true);
        outage.end().await;
        // The answer waited for its visitor, and ends where it would have ended.
        let cursor = crate::support::answer::cursor_at(&shown);
        let resumed = async {
            loop {
                back.ask_to_resume(&session, cursor.clone()).await;
                let frame = back.hear().await;
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
        let rest = back.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
    }
}
