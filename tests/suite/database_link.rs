//! What becomes of the way to PostgreSQL: it is cut in the middle of a commit, nobody answers on it, it is long.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::config::Host;

use crate::support::cable::Cable;
use crate::support::chat::{QUESTIONS_IN_ORDER, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::faults::{hold, metric, release};
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::stores::{FreshStore, Store};

async fn fresh(test: &str) -> Option<FreshStore> {
    Store::Postgres.fresh_for(&format!("{}::{test}", module_path!())).await
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

/// So many with a session each.
async fn visitors(server: &Server, number: usize) -> Vec<ChatClient> {
    let visit = async || {
        let mut visitor = ChatClient::connect(server).await;
        visitor.start().await;
        visitor
    };
    join_all((0..number).map(|_| visit())).await
}

/// As long as an answer is waited for, and a while.
const LONG: Duration = Duration::from_secs(45);

/// Waits for a line of the log that comes late.
async fn logged(server: &Server, message: &str) -> Value {
    let reached = async {
        loop {
            if let Some(line) = server.logs().into_iter().find(|line| line["msg"] == message) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LONG, reached).await.unwrap_or_else(|_| panic!("{message:?} is not in the log"))
}

#[tokio::test]
async fn a_commit_whose_outcome_nobody_knows_is_not_written_twice() {
    let Some(store) = fresh("a_commit_whose_outcome_nobody_knows").await else { return };
    a_commit_is_cut_off(&store, "SELECT 1").await;
}

#[tokio::test]
async fn nor_is_it_refused_when_a_later_connection_came_in_between() {
    let Some(store) = fresh("nor_is_it_refused_when_a_later_connection").await else {
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
    let holder = store.hold("SELECT pg_advisory_lock(7)").await;
    visitor.ask_with_id("q-1", "Where?").await;
    let committing = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
        AND datname = current_database() AND wait_event = 'advisory' AND query ILIKE 'COMMIT%'";
    until_stored(store, committing, 1).await;
    let behind = store.hold("").await;
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
            line["msg"] == "database unavailable, buffering writes"
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
    assert_eq!(metric(&server, "store_unavailable").await, 0.0);
}

#[tokio::test]
async fn connections_that_nobody_answers_on_are_given_up() {
    let Some(store) = fresh("connections_that_nobody_answers_on").await else { return };
    let (cable, upstream) = (cable_to(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(over(&cable, &store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    let session = visitor.start().await;
    visitor.ask_and_hear("zero").await;
    // In the middle of a transaction, which then holds what others want.
    let holder = store.hold("BEGIN; LOCK TABLE messages IN EXCLUSIVE MODE").await;
    visitor.ask("one").await;
    store.until_blocked().await;
    cable.get_stuck();
    holder.batch_execute("ROLLBACK").await.unwrap();
    let answer = visitor.answer().await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));
    let given_up = logged(&server, "database unavailable, buffering writes").await;
    assert!(given_up["cause"].as_str().is_some_and(|cause| cause.contains("30 seconds")), "{given_up}");
    // What the lost connection has begun stands in the way until PostgreSQL ends it.
    logged(&server, "database available again").await;
    assert_eq!(visitor.ask_and_hear("two").await.done["durable"], true);
    let mut back = ChatClient::connect(&server).await;
    back.resume(&session, json!(null)).await;
    assert_eq!(store.texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two"]);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 6);
}

#[tokio::test]
async fn connections_that_fell_silent_while_nobody_used_them_cost_nobody_anything() {
    const AT_ONCE: usize = 6;
    /// Longer than a connection is trusted without being asked.
    const UNUSED: Duration = Duration::from_secs(1);
    let Some(store) = fresh("connections_that_fell_silent").await else { return };
    let (cable, upstream) = (cable_to(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(over(&cable, &store, &upstream)).await;
    let mut visitors = visitors(&server, AT_ONCE).await;
    hold(&server, "PersistenceHasRead").await;
    for visitor in &mut visitors {
        visitor.say(json!({"type": "history"})).await;
    }
    let open = "SELECT (count(*) >= 6)::int::bigint FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    until_stored(&store, open, 1).await;
    release(&server, "PersistenceHasRead").await;
    for visitor in &mut visitors {
        visitor.hear_type("history").await;
    }
    tokio::time::sleep(UNUSED).await;
    cable.get_stuck();
    let answers = join_all(visitors.iter_mut().map(|visitor| visitor.ask_and_hear("Where?"))).await;
    for answer in answers {
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    }
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 12);
}

#[tokio::test]
async fn a_database_far_away_takes_what_has_waited_however_long_it_takes() {
    const VISITORS: usize = 50;
    /// Around the world.
    const ONE_WAY: Duration = Duration::from_millis(100);
    let Some(store) = fresh("a_database_far_away").await else { return };
    let (cable, upstream) = (cable_to(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(over(&cable, &store, &upstream)).await;
    let mut visitors = visitors(&server, VISITORS).await;
    hold(&server, "WriterGroup").await;
    for answer in join_all(visitors.iter_mut().map(|visitor| visitor.ask_and_hear("Where?"))).await {
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));
    }
    cable.be_far(ONE_WAY);
    release(&server, "WriterGroup").await;
    let stored = async {
        while store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await < 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(2 * LONG, stored).await.unwrap();
    assert_eq!(store.number("SELECT count(*) FROM messages").await, 100);
    assert_eq!(metric(&server, "store_unavailable").await, 0.0);
    let away = |line: &Value| line["msg"] == "database unavailable, buffering writes";
    assert!(!server.logs().iter().any(away), "slow is not away");
}
