//! Database outages: the chat continues, reports that writes are not durable yet, and loses
//! nothing.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::chat_client::ChatClient;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::wait_for_metric;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::stores::sql::run_on_postgres;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

async fn create_store(store: StoreKind, test: &str) -> Option<FreshStore> {
    store.create_for(&format!("{}::{test}", module_path!())).await
}

async fn terminate_connections(store: &FreshStore) {
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    let terminated = run_on_postgres(store.url(), terminate).await;
    assert!(!terminated.is_empty(), "no connection has the application name of the server");
}

/// Checks that this many complete turns are stored.
async fn assert_stored_turns(store: &FreshStore, turns: i64) {
    assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await, turns);
    assert_eq!(store.query_number("SELECT count(*) FROM messages").await, turns * 2);
}

#[tokio::test]
async fn connection_terminated_between_writes_is_replaced() {
    let Some(store) = create_store(StoreKind::Postgres, "connection_terminated_between_writes").await else {
        return;
    };
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    upstream.queue(Script::from_words(&["Still ", "here."]).hold_after(1, &gate));

    visitor.ask("Where?").await;
    visitor.receive_until("delta").await;
    terminate_connections(&store).await;
    gate.open();
    let answer = visitor.receive_rest().await;

    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));

    terminate_connections(&store).await;
    let answer = visitor.ask_and_wait("And now?").await;
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(true), &json!(true)));
    assert_stored_turns(&store, 2).await;
}

#[tokio::test]
async fn write_on_a_terminated_connection_is_retried() {
    let Some(store) = create_store(StoreKind::Postgres, "write_on_a_terminated_connection").await else {
        return;
    };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let lock = store.execute_and_hold("BEGIN; LOCK TABLE turns IN ACCESS EXCLUSIVE MODE").await;
    visitor.ask("Where?").await;
    store.wait_until_blocked().await;
    terminate_connections(&store).await;
    drop(lock);
    let answer = visitor.receive_answer().await;

    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    assert_stored_turns(&store, 1).await;
}

#[tokio::test]
async fn write_blocked_by_a_row_lock_is_retried_and_not_dropped() {
    let Some(store) = create_store(StoreKind::Postgres, "write_blocked_by_a_row_lock").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let lock = store.execute_and_hold("BEGIN; SELECT 1 FROM sessions FOR UPDATE").await;
    let answer = visitor.ask_and_wait("Where?").await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));

    let is_outage = |line: &Value| line["msg"] == "database unavailable, buffering writes";
    server.wait_for_log("the lock timeout", is_outage).await;
    drop(lock);
    wait_for_metric(&server, "store_unavailable", 0.0).await;
    let answer = visitor.ask_and_wait("And now?").await;

    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    assert_stored_turns(&store, 2).await;
}

#[tokio::test]
async fn shutdown_waits_for_the_end_of_an_outage() {
    let Some(store) = create_store(StoreKind::Postgres, "shutdown_waits_for_the_end").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let outage = store.take_offline().await;
    let answer = visitor.ask_and_wait("Where?").await;
    assert_eq!(answer.status(), "complete");
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(false), &json!(false)));

    outage.end().await;
    // Shutdown waits until all writes are stored.
    server.terminate().await;
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    assert_stored_turns(&store, 1).await;
}

#[tokio::test]
async fn writes_to_a_locked_sqlite_file_are_stored_after_the_lock() {
    let Some(store) = create_store(StoreKind::Sqlite, "writes_to_a_locked_sqlite_file").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let outage = store.take_offline().await;
    let answer = visitor.ask_and_wait("Where?").await;
    assert_eq!(answer.status(), "complete");
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(false), &json!(false)));

    // The lock outlasts SQLite's busy timeout, so the server has to retry.
    let outage_entry = server.wait_for_log("the start of the outage", |line| {
        line["msg"]
            .as_str()
            .is_some_and(|msg| msg.contains("database unavailable") || msg.contains("rejected"))
    });
    assert_eq!(outage_entry.await["msg"], "database unavailable, buffering writes");

    outage.end().await;
    server.wait_for_log("the end of the outage", |line| line["msg"] == "database available again").await;
    server.terminate().await;

    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    assert_stored_turns(&store, 1).await;
}

#[tokio::test]
async fn write_buffer_is_bounded_during_an_outage() {
    /// More than the write buffer and the current batch can hold.
    const VISITORS: usize = 5000;
    let Some(store) = create_store(StoreKind::Postgres, "write_buffer_is_bounded").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;

    let before = server.resident_kib();
    let outage = store.take_offline().await;

    for _ in 0..VISITORS / 100 {
        let visit = async || {
            let mut socket = RawSocket::connect(&server).await;
            // The pong confirms that the server has read the frames sent with the ping.
            let ping = Frame::new(9, "read?").bytes();
            let start = Frame::text("{\"type\": \"start\"}").bytes();
            socket.send_bytes(&[ping, start].concat()).await;
            assert!(socket.read_frame().await.is_some_and(|frame| frame.opcode == 10));
        };
        join_all((0..100).map(|_| visit())).await;
    }

    visitor.ask_with_id("too-much", "Where?").await;
    let rejected = visitor.expect_error("STORAGE_UNAVAILABLE").await;
    assert_eq!((&rejected["retryable"], &rejected["id"]), (&json!(true), &json!("too-much")));

    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 72 * 1024, "{grown} KiB");

    outage.end().await;
    let stored = async {
        while store.query_number("SELECT count(*) FROM sessions").await <= 4096 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // A running attempt and the backoff before the next one take several seconds.
    assert!(tokio::time::timeout(Duration::from_secs(30), stored).await.is_ok(), "{:?}", problems(&server));
    assert_eq!(visitor.ask_and_wait("And now?").await.done["durable"], true);

    server.terminate().await;
    assert_eq!(server.wait_for_exit().await.code(), Some(0));

    let stored = store.query_number("SELECT count(*) FROM sessions").await;
    assert!((4096..=4096 + 1024).contains(&stored), "{stored} sessions are stored");
}

/// Returns the log entries that may explain a failure.
fn problems(server: &Server) -> Vec<Value> {
    server
        .logs()
        .into_iter()
        .filter(|line| line["level"] != "info" || line["msg"] == "database available again")
        .collect()
}
