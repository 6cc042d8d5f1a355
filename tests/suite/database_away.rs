//! More ways in which a database goes away: in the middle of a commit, its disk full, its file locked; and what is told of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::config::Host;

use crate::on_both_stores;
use crate::support::cable::Cable;
use crate::support::chat::until_stored;
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

/// Where the PostgreSQL of a store listens, as its URL says it, and as an address.
fn host_of(store: &FreshStore) -> (String, SocketAddr) {
    let config: tokio_postgres::Config = store.url().parse().unwrap();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("no host in {}", store.url()) };
    let address = (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap();
    (format!("{host}:{port}"), address)
}

async fn cable_to(store: &FreshStore) -> Cable {
    Cable::to(host_of(store).1).await
}

/// A server whose database is at the other end of a cable.
fn over(cable: &Cable, store: &FreshStore, upstream: &FakeOpenRouter) -> ServerConfig {
    let url = store.url().replace(&host_of(store).0, &cable.address.to_string());
    ServerConfig::serve(store, upstream).with("DATABASE_URL", url)
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

/// Every question in the order in which it was stored.
const IN_ORDER: &str = "SELECT messages.content FROM messages JOIN turns ON turns.id = messages.turn_id
    WHERE messages.role = 'user' ORDER BY turns.id";

#[tokio::test]
async fn a_commit_whose_outcome_nobody_knows_is_not_written_twice() {
    let Some(store) = fresh(Store::Postgres, "a_commit_whose_outcome_nobody_knows").await else { return };
    a_commit_is_cut_off(&store, "SELECT 1").await;
}

#[tokio::test]
async fn nor_is_it_refused_when_a_later_connection_came_in_between() {
    let Some(store) = fresh(Store::Postgres, "nor_is_it_refused_when_a_later_connection").await else {
        return;
    };
    // What a resumption does that stands right behind the question, and is committed with it or after it.
    a_commit_is_cut_off(&store, "UPDATE sessions SET epoch = epoch + 1").await;
}

/// A question's commit is cut off and succeeds unheard, then `meanwhile` is done, then the question is written again.
async fn a_commit_is_cut_off(store: &FreshStore, meanwhile: &'static str) {
    let (cable, upstream) = (cable_to(store).await, FakeOpenRouter::start().await);
    let server = Server::start(over(&cable, store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    // A commit takes as long as somebody has the lock, because a trigger waits for it that runs at the very end.
    let slow_commit = "
        CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON turns DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_at_commit();";
    store.execute(slow_commit).await;
    let (holder, connection) = tokio_postgres::connect(store.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    visitor.ask_with_id("q-1", "Where?").await;
    let committing = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
        AND datname = current_database() AND wait_event = 'advisory' AND query ILIKE 'COMMIT%'";
    until_stored(store, committing, 1).await;
    let (behind, connection) = tokio_postgres::connect(store.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // In the queue for the session's row before the server is, which waits before it tries again.
    let behind = tokio::spawn(async move { behind.batch_execute(meanwhile).await });
    if meanwhile.starts_with("UPDATE") {
        let queued = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query ILIKE 'UPDATE sessions SET epoch = epoch + 1%'";
        until_stored(store, queued, 1).await;
    }
    cable.pull();
    server
        .wait_for_log("that the commit was cut off", |line| {
            line["msg"] == "the database is away; writes wait"
        })
        .await;
    // The commit that was cut off succeeds now, and nobody hears of it.
    holder.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    behind.await.unwrap().unwrap();
    let answer = visitor.answer().await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    for (query, count) in [
        ("SELECT count(*) FROM turns WHERE status = 'complete'", 1),
        ("SELECT count(*) FROM messages", 2),
        ("SELECT count(*) FROM sessions", 1),
    ] {
        assert_eq!(store.number(query).await, count, "{query}");
    }
    assert_eq!(metric(&server, "store_away").await, 0.0);
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
    assert_eq!(metric(&server, "store_away").await, 1.0);
    assert_eq!(get(&server, "/health/live").await.status, 200);
    server.limit_files(None);
    until_metric(&server, "store_away", 0.0).await;
    until_told(&server, 200, "healthy").await;
    assert_eq!(visitor.ask_and_hear("four").await.done["durable"], true);
    assert_eq!(store.texts(IN_ORDER).await, ["zero", "one", "two", "three", "four"]);
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 5);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 10);
}

#[tokio::test]
async fn connections_that_nobody_answers_on_are_given_up() {
    /// As long as one is waited for, and a while.
    const LONG: Duration = Duration::from_secs(45);
    let Some(store) = fresh(Store::Postgres, "connections_that_nobody_answers_on").await else { return };
    let (cable, upstream) = (cable_to(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(over(&cable, &store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    let session = visitor.start().await;
    visitor.ask_and_hear("zero").await;
    // In the middle of a transaction, which then holds what others want.
    let (holder, connection) = tokio_postgres::connect(store.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("BEGIN; LOCK TABLE messages IN EXCLUSIVE MODE").await.unwrap();
    visitor.ask("one").await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
        AND datname = current_database() AND wait_event_type = 'Lock'";
    until_stored(&store, waits, 1).await;
    cable.get_stuck();
    holder.batch_execute("ROLLBACK").await.unwrap();
    let answer = visitor.answer().await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));
    let logged = async |msg| loop {
        if let Some(line) = server.logs().into_iter().find(|line| line["msg"] == msg) {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let given_up = tokio::time::timeout(LONG, logged("the database is away; writes wait")).await.unwrap();
    assert!(given_up["cause"].as_str().is_some_and(|cause| cause.contains("30 seconds")), "{given_up}");
    // What the lost connection has begun stands in the way until PostgreSQL ends it.
    tokio::time::timeout(LONG, logged("the database is back")).await.unwrap();
    assert_eq!(visitor.ask_and_hear("two").await.done["durable"], true);
    let mut back = ChatClient::connect(&server).await;
    back.resume(&session, json!(null)).await;
    assert_eq!(store.texts(IN_ORDER).await, ["zero", "one", "two"]);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 6);
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
    assert_eq!(store.texts(IN_ORDER).await, ["zero", "one", "two", "three", "four"]);
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
        assert!(metric(&server, "store_waiting_writes").await > 0.0);
        outage.end().await;
        until_told(&server, 200, "healthy").await;
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;
        assert_eq!(store.texts(IN_ORDER).await, ["one", "two", "three"]);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 6);
        assert_eq!(visitor.ask_and_hear("four").await.done["durable"], true);
        until_metric(&server, "store_waiting_writes", 0.0).await;
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
