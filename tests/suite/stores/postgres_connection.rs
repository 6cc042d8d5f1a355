//! Failures of the connection to PostgreSQL: lost during a commit, silent, or slow.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::config::Host;

use crate::support::client::chat::{QUESTIONS_IN_ORDER, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::tcp_proxy::TcpProxy;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{metric, pause_at, unpause};
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

async fn create_store(test: &str) -> Option<FreshStore> {
    StoreKind::Postgres.create_for(&format!("{}::{test}", module_path!())).await
}

/// Returns host and port of a PostgreSQL store as in its URL, and its address.
fn host_of(store: &FreshStore) -> (String, SocketAddr) {
    let config: tokio_postgres::Config = store.url().parse().unwrap();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("no host in {}", store.url()) };
    let address = (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap();
    (format!("{host}:{port}"), address)
}

async fn start_proxy(store: &FreshStore) -> TcpProxy {
    TcpProxy::start(host_of(store).1).await
}

/// Creates the configuration of a server that reaches its database through the proxy.
fn config_through(proxy: &TcpProxy, store: &FreshStore, upstream: &FakeOpenRouter) -> ServerConfig {
    let url = store.url().replace(&host_of(store).0, &proxy.address.to_string());
    ServerConfig::serve(store, upstream).with("DATABASE_URL", url)
}

/// Connects this many visitors, each with a session.
async fn connect_visitors(server: &Server, number: usize) -> Vec<ChatClient> {
    let visit = async || {
        let mut visitor = ChatClient::connect(server).await;
        visitor.start().await;
        visitor
    };
    join_all((0..number).map(|_| visit())).await
}

/// Longer than the server waits for a silent connection.
const LONG_TIMEOUT: Duration = Duration::from_secs(45);

/// Waits for a log entry, with a long deadline.
async fn wait_for_late_log(server: &Server, message: &str) -> Value {
    let reached = async {
        loop {
            if let Some(line) = server.logs().into_iter().find(|line| line["msg"] == message) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LONG_TIMEOUT, reached)
        .await
        .unwrap_or_else(|_| panic!("{message:?} is not in the log"))
}

/// A deferred trigger that waits for an advisory lock, so that commits of new turns take as long as
/// the lock is held.
const SLOW_COMMIT_TRIGGER: &str = "
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON turns DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_at_commit();";

#[tokio::test]
async fn commit_with_a_lost_result_is_not_repeated() {
    let Some(store) = create_store("commit_with_a_lost_result").await else { return };

    check_lost_commit_result(&store, "SELECT 1").await;
}

#[tokio::test]
async fn commit_with_a_lost_result_survives_a_takeover_before_the_retry() {
    let Some(store) = create_store("commit_with_a_lost_result_survives").await else {
        return;
    };

    // The statement of a takeover that runs between the commit and the retry.
    check_lost_commit_result(&store, "UPDATE sessions SET epoch = epoch + 1").await;
}

/// Drops the connection during the commit of a question. The commit succeeds, then `meanwhile`
/// runs, and then the server retries.
async fn check_lost_commit_result(store: &FreshStore, meanwhile: &'static str) {
    let (proxy, upstream) = (start_proxy(store).await, FakeOpenRouter::start().await);
    let server = Server::start(config_through(&proxy, store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    store.execute(SLOW_COMMIT_TRIGGER).await;

    let holder = store.execute_and_hold("SELECT pg_advisory_lock(7)").await;
    visitor.ask_with_id("q-1", "Where?").await;
    let committing = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
        AND datname = current_database() AND wait_event = 'advisory' AND query ILIKE 'COMMIT%'";
    wait_until_stored(store, committing, 1).await;

    // Queued for the row lock before the retry of the server, which waits for its backoff.
    let client = store.execute_and_hold("").await;
    let queued = tokio::spawn(async move { client.batch_execute(meanwhile).await });
    if meanwhile.starts_with("UPDATE") {
        let is_queued = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query ILIKE 'UPDATE sessions SET epoch = epoch + 1%'";
        wait_until_stored(store, is_queued, 1).await;
    }
    proxy.drop_connections();
    server
        .wait_for_log("the lost connection", |line| line["msg"] == "the database is away; writes wait")
        .await;

    // The interrupted commit succeeds now, but the server does not see the result.
    holder.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    queued.await.unwrap().unwrap();
    let answer = visitor.receive_answer().await;

    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    for (query, count) in [
        ("SELECT count(*) FROM turns WHERE status = 'complete'", 1),
        ("SELECT count(*) FROM messages", 2),
        ("SELECT count(*) FROM sessions", 1),
    ] {
        assert_eq!(store.query_number(query).await, count, "{query}");
    }
    assert_eq!(metric(&server, "store_away").await, 0.0);
}

#[tokio::test]
async fn silent_connections_are_discarded() {
    let Some(store) = create_store("silent_connections").await else { return };
    let (proxy, upstream) = (start_proxy(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(config_through(&proxy, &store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    let session = visitor.start().await;

    visitor.ask_and_wait("zero").await;
    // Stall the connection within a transaction that holds locks.
    let holder = store.execute_and_hold("BEGIN; LOCK TABLE messages IN EXCLUSIVE MODE").await;
    visitor.ask("one").await;
    store.wait_until_blocked().await;
    proxy.stall();
    holder.batch_execute("ROLLBACK").await.unwrap();
    let answer = visitor.receive_answer().await;

    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));

    let given_up = wait_for_late_log(&server, "the database is away; writes wait").await;
    assert!(given_up["cause"].as_str().is_some_and(|cause| cause.contains("30 seconds")), "{given_up}");

    // The lost transaction blocks writes until PostgreSQL ends it.
    wait_for_late_log(&server, "the database is back").await;
    assert_eq!(visitor.ask_and_wait("two").await.done["durable"], true);

    let mut back = ChatClient::connect(&server).await;
    back.resume(&session, json!(null)).await;
    assert_eq!(store.query_texts(QUESTIONS_IN_ORDER).await, ["zero", "one", "two"]);
    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 6);
}

#[tokio::test]
async fn idle_connections_that_fell_silent_are_replaced_without_loss() {
    const AT_ONCE: usize = 6;
    /// Longer than a connection is used without a check.
    const IDLE_TIME: Duration = Duration::from_secs(1);
    let Some(store) = create_store("idle_connections_that_fell_silent").await else { return };
    let (proxy, upstream) = (start_proxy(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(config_through(&proxy, &store, &upstream)).await;

    let mut connect_visitors = connect_visitors(&server, AT_ONCE).await;
    pause_at(&server, "PersistenceAfterRead").await;
    for visitor in &mut connect_visitors {
        visitor.send(json!({"type": "history"})).await;
    }
    let open = "SELECT (count(*) >= 6)::int::bigint FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    wait_until_stored(&store, open, 1).await;
    unpause(&server, "PersistenceAfterRead").await;
    for visitor in &mut connect_visitors {
        visitor.expect_frame("history").await;
    }
    tokio::time::sleep(IDLE_TIME).await;
    proxy.stall();
    let answers = join_all(connect_visitors.iter_mut().map(|visitor| visitor.ask_and_wait("Where?"))).await;

    for answer in answers {
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    }
    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 12);
}

#[tokio::test]
async fn slow_database_stores_all_waiting_writes() {
    const VISITORS: usize = 50;
    /// The latency to the other side of the world.
    const LATENCY: Duration = Duration::from_millis(100);
    let Some(store) = create_store("slow_database").await else { return };
    let (proxy, upstream) = (start_proxy(&store).await, FakeOpenRouter::start().await);
    let server = Server::start(config_through(&proxy, &store, &upstream)).await;

    let mut connect_visitors = connect_visitors(&server, VISITORS).await;
    pause_at(&server, "WriterBatch").await;
    for answer in join_all(connect_visitors.iter_mut().map(|visitor| visitor.ask_and_wait("Where?"))).await {
        assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));
    }

    proxy.set_latency(LATENCY);
    unpause(&server, "WriterBatch").await;
    let stored = async {
        while store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await < 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(2 * LONG_TIMEOUT, stored).await.unwrap();

    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 100);
    assert_eq!(metric(&server, "store_away").await, 0.0);

    let is_outage = |line: &Value| line["msg"] == "the database is away; writes wait";
    assert!(!server.logs().iter().any(is_outage), "a slow database was reported as unavailable");
}
