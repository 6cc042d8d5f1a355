//! The database goes away in the middle: the chat goes on, says so, and nothing is lost.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::faults::until_metric;
use crate::support::gate::Gate;
use crate::support::raw_socket::{Frame, RawSocket};
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::sql::on_postgres;
use crate::support::stores::{FreshStore, Store};

async fn fresh(store: Store, test: &str) -> Option<FreshStore> {
    store.fresh_for(&format!("{}::{test}", module_path!())).await
}

async fn cut_connections(store: &FreshStore) {
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'resume-chatbot' AND datname = current_database()";
    let cut = on_postgres(store.url(), cut).await;
    assert!(!cut.is_empty(), "the server has no connection under its name");
}

async fn everything_is_there(store: &FreshStore, turns: i64) {
    assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, turns);
    assert_eq!(store.number("SELECT count(*) FROM messages").await, turns * 2);
}

#[tokio::test]
async fn a_connection_that_is_cut_between_writes_is_replaced() {
    let Some(store) = fresh(Store::Postgres, "a_connection_that_is_cut_between_writes").await else { return };
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    upstream.queue(Script::of(&["Still ", "here."]).hold_after(1, &gate));
    visitor.ask("Where?").await;
    visitor.hear_until("delta").await;
    cut_connections(&store).await;
    gate.open();
    let answer = visitor.rest_of_answer().await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    cut_connections(&store).await;
    let answer = visitor.ask_and_hear("And now?").await;
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(true), &json!(true)));
    everything_is_there(&store, 2).await;
}

#[tokio::test]
async fn a_write_whose_connection_is_cut_under_it_is_written_again() {
    let Some(store) = fresh(Store::Postgres, "a_write_whose_connection_is_cut").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let lock = store.hold("BEGIN; LOCK TABLE turns IN ACCESS EXCLUSIVE MODE").await;
    visitor.ask("Where?").await;
    store.until_blocked().await;
    cut_connections(&store).await;
    drop(lock);
    let answer = visitor.answer().await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    everything_is_there(&store, 1).await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_no_fault_of_what_is_to_be_written_there() {
    let Some(store) = fresh(Store::Postgres, "a_row_that_somebody_has_locked").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let lock = store.hold("BEGIN; SELECT 1 FROM sessions FOR UPDATE").await;
    let answer = visitor.ask_and_hear("Where?").await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(false)));
    let away = |line: &Value| line["msg"] == "database unavailable, buffering writes";
    server.wait_for_log("that it has waited in vain, the first time", away).await;
    drop(lock);
    until_metric(&server, "store_unavailable", 0.0).await;
    let answer = visitor.ask_and_hear("And now?").await;
    assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &json!(true)));
    everything_is_there(&store, 2).await;
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_gets_everything_afterwards() {
    let Some(store) = fresh(Store::Postgres, "a_server_that_is_away").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let outage = store.go_away().await;
    let answer = visitor.ask_and_hear("Where?").await;
    assert_eq!(answer.status(), "complete");
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(false), &json!(false)));
    outage.end().await;
    // Leaving waits for the store, so that a restart in bad weather loses nothing either.
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    everything_is_there(&store, 1).await;
}

#[tokio::test]
async fn a_file_that_another_process_locks_gets_everything_afterwards() {
    let Some(store) = fresh(Store::Sqlite, "a_file_that_another_process_locks").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let outage = store.go_away().await;
    let answer = visitor.ask_and_hear("Where?").await;
    assert_eq!(answer.status(), "complete");
    assert_eq!((&answer.accepted["durable"], &answer.done["durable"]), (&json!(false), &json!(false)));
    // Longer than SQLite itself waits, so that the server has to try again.
    let away = server.wait_for_log("that the database is away", |line| {
        line["msg"]
            .as_str()
            .is_some_and(|msg| msg.contains("database unavailable") || msg.contains("rejected"))
    });
    assert_eq!(away.await["msg"], "database unavailable, buffering writes");
    outage.end().await;
    server
        .wait_for_log("that the database is available", |line| line["msg"] == "database available again")
        .await;
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    everything_is_there(&store, 1).await;
}

#[tokio::test]
async fn what_waits_for_the_database_is_bounded_and_kept() {
    /// More than the buffer and the group in hand.
    const VISITORS: usize = 5000;
    let Some(store) = fresh(Store::Postgres, "what_waits_for_the_database").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let before = server.resident_kib();
    let outage = store.go_away().await;
    for _ in 0..VISITORS / 100 {
        let visit = async || {
            let mut socket = RawSocket::connect(&server).await;
            // The pong tells that what came with the ping was read.
            let ping = Frame::new(9, "read?").bytes();
            let start = Frame::text("{\"type\": \"start\"}").bytes();
            socket.send_bytes(&[ping, start].concat()).await;
            assert!(socket.read_frame().await.is_some_and(|frame| frame.opcode == 10));
        };
        join_all((0..100).map(|_| visit())).await;
    }
    visitor.ask_with_id("too-much", "Where?").await;
    let refused = visitor.hear_error("STORAGE_UNAVAILABLE").await;
    assert_eq!((&refused["retryable"], &refused["id"]), (&json!(true), &json!("too-much")));
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    outage.end().await;
    let stored = async {
        while store.number("SELECT count(*) FROM sessions").await <= 4096 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // A try that has begun waits for seconds, and between two tries there are some more.
    assert!(tokio::time::timeout(Duration::from_secs(30), stored).await.is_ok(), "{:?}", problems(&server));
    assert_eq!(visitor.ask_and_hear("And now?").await.done["durable"], true);
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    let kept = store.number("SELECT count(*) FROM sessions").await;
    assert!((4096..=4096 + 1024).contains(&kept), "{kept} sessions were kept");
}

fn problems(server: &Server) -> Vec<Value> {
    server
        .logs()
        .into_iter()
        .filter(|line| line["level"] != "info" || line["msg"] == "database available again")
        .collect()
}
