//! Panics in the server: the process survives, the affected client gets an error, and nothing is
//! lost.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::client::answer::cursor_at;
use crate::support::client::chat::{Chat, receive_text, wait_until_stored};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{metric, panic_at, panicked_at, wait_for_metric};
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

/// A question that panic messages contain and the log must not.
const QUESTION: &str = "markerquestion one?";

/// Connects with this request id.
async fn connect_with_id(server: &Server, request_id: &str) -> ChatClient {
    let handshake = Handshake::new().header("X-Request-Id", request_id);
    ChatClient::connect_with(server, &handshake).await.unwrap()
}

/// Returns the only log entry about the panic in this request. No log entry may contain message
/// text.
async fn single_panic_entry(server: &Server, request_id: &str) -> Value {
    let is_panic = |line: &Value| line["request_id"] == request_id && line["at"].is_string();
    let line = server.wait_for_log("the report of the panic", is_panic).await;
    let lines: Vec<Value> = server.logs().into_iter().filter(is_panic).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(panicked_at(&line, "src/system/failpoints.rs"), "{line}");
    assert_eq!(line["panic"], "(message not shown)");
    for entry in server.logs() {
        assert!(!entry.to_string().contains("marker"), "{entry}");
    }
    line
}

on_both_stores! {
    async fn session_panic_closes_only_that_session_without_loss(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let mut other = chat.connect().await;

        let mut visitor = connect_with_id(&chat.server, "panicking-1").await;
        let session = visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
        visitor.ask("Count, please.").await;
        let shown = receive_text(&mut visitor, "One ").await;
        let turn_id = shown["turn_id"].clone();
        panic_at(&chat.server, "SessionText", 1).await;
        visitor.ask(QUESTION).await;
        let error = visitor.expect_error("INTERNAL_ERROR").await;

        assert_eq!((&error["request_id"], &error["retryable"]), (&json!("panicking-1"), &json!(true)));
        assert_eq!(visitor.wait_for_close().await, 1011);

        let line = single_panic_entry(&chat.server, "panicking-1").await;
        assert_eq!((&line["session_id"], &line["turn_id"]), (&json!(session.session_id), &turn_id));

        // The connection slot and the subscription are released.
        wait_for_metric(&chat.server, "session_open_connections", 2.0).await;
        wait_for_metric(&chat.server, "session_open_sessions", 0.0).await;
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"session\"}").await, 1.0);

        let mut visitor = chat.connect().await;
        let back = visitor.resume(&session, cursor_at(&shown)).await;
        assert_eq!(back.frame["recovered"], true);

        gate.open();
        let rest = visitor.receive_rest().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(visitor.ask_and_wait("And now?").await.status(), "complete");
        assert_eq!(other.ask_and_wait("And here?").await.status(), "complete");

        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;
    }

    async fn session_panic_on_progress_or_takeover_closes_the_session(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let mut visitor = chat.connect().await;
        let session = visitor.start().await;

        panic_at(&chat.server, "SessionProgress", 1).await;
        visitor.ask("Where?").await;
        visitor.expect_error("INTERNAL_ERROR").await;
        assert_eq!(visitor.wait_for_close().await, 1011);

        let mut visitor = chat.connect().await;
        visitor.resume(&session, json!(null)).await;
        panic_at(&chat.server, "SessionCommand", 1).await;
        // A takeover sends the order.
        let mut back = chat.connect().await;
        back.resume(&session, json!(null)).await;

        assert_eq!(visitor.wait_for_close().await, 1011);
        assert_eq!(back.ask_and_wait("And now?").await.status(), "complete");
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"session\"}").await, 2.0);
    }

    async fn llm_actor_restarts_after_a_panic_and_keeps_its_answers(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;
        let (mut reader, gate) = (chat.connect().await, Gate::default());

        let session = reader.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
        reader.ask("Count, please.").await;
        let shown = receive_text(&mut reader, "One ").await;
        let mut asker = connect_with_id(&chat.server, "panicking-2").await;
        asker.start().await;
        panic_at(&chat.server, "LlmAsk", 1).await;
        asker.ask_with_id("q-1", QUESTION).await;
        let error = asker.expect_error("INTERNAL_ERROR").await;

        assert_eq!(
            (&error["request_id"], &error["retryable"], &error["id"]),
            (&json!("panicking-2"), &json!(true), &json!("q-1"))
        );

        let line = single_panic_entry(&chat.server, "panicking-2").await;
        assert_eq!(line["actor"], "llm");

        // A retry on the same connection with the same id succeeds.
        asker.ask_with_id("q-1", QUESTION).await;
        assert_eq!(asker.receive_answer().await.status(), "complete");

        // The answer in progress can still be resumed.
        reader.drop_abruptly();
        let mut reader = chat.connect().await;
        panic_at(&chat.server, "LlmFind", 1).await;
        reader.send_resume(&session, cursor_at(&shown)).await;

        reader.expect_error("INTERNAL_ERROR").await;

        let back = reader.resume(&session, cursor_at(&shown)).await;
        assert_eq!(back.frame["recovered"], true);

        gate.open();
        assert_eq!(reader.receive_rest().await.text, "two.");
        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"llm\"}").await, 2.0);
        assert_eq!(get(&chat.server, "/health?deep=true").await.status, 200);
    }

    async fn panic_in_a_timer_restarts_the_actor_and_its_timer(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        // Started, because an idle connection is closed before the second sweep.
        chat.visitor.start().await;

        for restarts in [1.0, 2.0] {
            panic_at(&chat.server, "LlmSweep", 1).await;
            wait_for_metric(&chat.server, "actor_restarts_total{actor=\"llm\"}", restarts).await;
        }

        assert_eq!(chat.visitor.ask_and_wait("Still there?").await.status(), "complete");
    }

    async fn panic_in_the_answer_task_fails_the_turn(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;

        let mut visitor = connect_with_id(&chat.server, "panicking-3").await;
        let session = visitor.start().await;

        for (point, panics) in [("AnswerTask", 1.0), ("AnswerConclude", 2.0)] {
            panic_at(&chat.server, point, 1).await;
            visitor.ask(QUESTION).await;
            let answer = visitor.receive_answer().await;
            assert_eq!((answer.status(), &answer.error["code"]), ("failed", &json!("INTERNAL_ERROR")));
            assert_eq!(answer.error["request_id"], "panicking-3");
            assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"answer\"}").await, panics);
            if point == "AnswerTask" {
                let line = single_panic_entry(&chat.server, "panicking-3").await;
                assert_eq!(
                    (&line["session_id"], &line["turn_id"]),
                    (&json!(session.session_id), &json!(answer.turn_id()))
                );
            }
        }

        assert_eq!(visitor.ask_and_wait("And now?").await.status(), "complete");
        // The queue slot is released.
        assert_eq!(metric(&chat.server, "upstream_queue_depth").await, 0.0);

        wait_until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'answering'", 0).await;
    }

    async fn persistence_actor_restarts_after_a_panic_without_losing_writes(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;

        let mut visitor = connect_with_id(&chat.server, "panicking-4").await;
        panic_at(&chat.server, "PersistenceCreate", 1).await;
        visitor.ask_with_id("q-1", QUESTION).await;
        let error = visitor.expect_error("INTERNAL_ERROR").await;

        assert_eq!((&error["request_id"], &error["id"]), (&json!("panicking-4"), &json!("q-1")));

        let line = single_panic_entry(&chat.server, "panicking-4").await;
        assert_eq!(line["actor"], "persistence");
        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"persistence\"}").await, 1.0);

        // A lost reply does not lose the write.
        panic_at(&chat.server, "PersistenceReply", 1).await;
        visitor.ask_with_id("q-1", QUESTION).await;
        let answer = visitor.receive_answer().await;

        assert_eq!((answer.status(), &answer.accepted["durable"]), ("complete", &json!(true)));

        panic_at(&chat.server, "PersistenceRead", 1).await;
        visitor.send(json!({"type": "history"})).await;
        visitor.expect_error("INTERNAL_ERROR").await;

        visitor.send(json!({"type": "history"})).await;
        assert_eq!(visitor.expect_frame("history").await["messages"].as_array().map(Vec::len), Some(2));
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 2);
        assert_eq!(store.query_number("SELECT count(*) FROM sessions").await, 1);
    }

    async fn writer_panic_repeats_the_write_without_duplicates(store: FreshStore) {
        let mut chat = Chat::with_store(&store, &[]).await;
        chat.visitor.start().await;

        let mut turns = 0;
        // Before the batch, before the commit, and after the commit but before the reply.
        for point in ["WriterBatch", "WriterCommit", "WriterCommitted"] {
            for times in [1, 2] {
                panic_at(&chat.server, point, times).await;
                let answer = chat.visitor.ask_and_wait("Where?").await;
                let durable = (&answer.accepted["durable"], &answer.done["durable"]);
                assert_eq!((answer.status(), durable), ("complete", (&json!(true), &json!(true))), "{point}");
                turns += 1;
                assert_eq!(
                    store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await,
                    turns
                );
                assert_eq!(store.query_number("SELECT count(*) FROM messages").await, turns * 2, "{point}");
            }
        }

        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"writer\"}").await, 3.0);
        assert_eq!(get(&chat.server, "/health?deep=true").await.status, 200);
    }
}

on_both_stores! {
    async fn every_write_tolerates_a_lost_commit_result(store: FreshStore) {
        let chat = Chat::with_store(&store, &[]).await;

        let lose_next_commit_result = async || panic_at(&chat.server, "WriterCommitted", 1).await;
        let (mut visitor, gate) = (chat.connect().await, Gate::default());
        lose_next_commit_result().await;
        let session = visitor.start().await;
        chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
        lose_next_commit_result().await;
        visitor.ask_with_id("q-1", "Count, please.").await;

        assert_eq!(visitor.expect_frame("accepted").await["durable"], true);

        visitor.receive_until("delta").await;
        lose_next_commit_result().await;
        gate.open();

        assert_eq!(visitor.receive_rest().await.done["durable"], true);

        // The takeover is stored, otherwise the question after it would be rejected.
        lose_next_commit_result().await;
        let mut back = chat.connect().await;
        back.resume(&session, json!(null)).await;

        assert_eq!(visitor.wait_for_close().await, 4409);
        assert_eq!(back.ask_and_wait("And now?").await.done["durable"], true);
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"persistence\"}").await, 4.0);

        for (query, count) in [
            ("SELECT count(*) FROM sessions", 1),
            ("SELECT count(*) FROM turns WHERE status = 'complete'", 2),
            ("SELECT count(*) FROM messages", 4),
            ("SELECT count(*) FROM messages WHERE content = 'One two.'", 1),
        ] {
            assert_eq!(store.query_number(query).await, count, "{query}");
        }
    }
}

#[tokio::test]
async fn session_panic_ends_its_subscription() {
    let chat = Chat::new(&[("RECONNECT_GRACE", "500ms")]).await;
    let mut visitor = chat.connect().await;
    chat.upstream.queue(Script::from_words(&["One ", "two."]).hang_after(1));

    visitor.ask("Count, please.").await;
    receive_text(&mut visitor, "One ").await;
    panic_at(&chat.server, "SessionText", 1).await;
    visitor.ask(QUESTION).await;

    assert_eq!(visitor.wait_for_close().await, 1011);

    // As after a lost connection, the upstream request is aborted.
    chat.upstream.wait_for_abort().await;
    assert_eq!(chat.wait_for_turn_end().await["status"], "interrupted");
}

#[tokio::test]
async fn write_that_always_panics_is_dropped() {
    let mut chat = Chat::new(&[]).await;
    chat.visitor.start().await;

    // A batch of one write is attempted three times.
    panic_at(&chat.server, "WriterCommit", 3).await;
    chat.visitor.ask("Where?").await;
    let rejected = chat.visitor.expect_error("INTERNAL_ERROR").await;

    assert_eq!(rejected["retryable"], true);
    assert_eq!(chat.visitor.ask_and_wait("And now?").await.done["durable"], true);
}

#[tokio::test]
async fn health_checks_survive_panics_in_their_handlers() {
    let server = Server::start(ServerConfig::demo()).await;
    for point in ["HealthReceive", "HealthCheck"] {
        panic_at(&server, point, 1).await;
        let probe = get(&server, "/health?deep=true").await;
        assert_eq!((probe.status, &probe.json()["code"]), (503, &json!("OVERLOADED")), "{point}: {probe:?}");
        assert_eq!(get(&server, "/health?deep=true").await.status, 200, "{point}");
    }

    panic_at(&server, "HttpHealth", 1).await;
    let probe = get(&server, "/health").await;
    assert_eq!((probe.status, &probe.json()["code"]), (500, &json!("INTERNAL_ERROR")), "{probe:?}");

    let request_id = probe.header("x-request-id").unwrap().to_owned();
    assert_eq!(probe.json()["request_id"], *request_id);

    single_panic_entry(&server, &request_id).await;
    assert_eq!(get(&server, "/health").await.status, 200);
    assert_eq!(metric(&server, "actor_panics_total{actor=\"http\"}").await, 1.0);
}

#[tokio::test]
async fn watchdog_restarts_after_a_panic() {
    let server = Server::start(ServerConfig::demo()).await;

    panic_at(&server, "WatchdogTick", 1).await;
    wait_for_metric(&server, "actor_restarts_total{actor=\"watchdog\"}", 1.0).await;

    assert_eq!(get(&server, "/health?deep=true").await.status, 200);
}

#[tokio::test]
async fn repeated_actor_panics_shut_the_server_down_gracefully() {
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    let mut reader = chat.connect().await;

    let session = reader.start().await;
    chat.upstream.queue(Script::from_words(&["One ", "two."]).hold_after(1, &gate));
    reader.ask("Count, please.").await;
    receive_text(&mut reader, "One ").await;
    chat.visitor.start().await;
    panic_at(&chat.server, "LlmAsk", 6).await;

    for _ in 0..6 {
        chat.visitor.ask("Where?").await;
        chat.visitor.receive_until("error").await;
    }

    assert_eq!(reader.expect_frame("notice").await["code"], "DRAINING");

    let deep = get(&chat.server, "/health?deep=true").await;
    assert_eq!((deep.status, &deep.json()["checks"]["actors"]["status"]), (503, &json!("unhealthy")));
    assert_eq!(
        deep.json()["checks"]["actors"]["detail"],
        "llm panicked too often; the server is shutting down"
    );
    assert_eq!(get(&chat.server, "/health/ready").await.status, 503);

    // The answer in progress completes.
    gate.open();
    let rest = reader.receive_rest().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
    assert_eq!(reader.wait_for_close().await, 1012);
    assert_eq!(chat.server.wait_for_exit().await.code(), Some(70));

    chat.server.restart().await;
    let back = chat.connect().await.resume(&session, json!(null)).await;
    assert_eq!(back.frame["history"][1]["content"], "One two.");
}

#[tokio::test]
async fn actor_that_always_panics_ends_the_process() {
    let mut server = Server::start(ServerConfig::demo()).await;

    panic_at(&server, "WatchdogTick", u32::MAX).await;
    assert_eq!(server.wait_for_exit().await.code(), Some(70));

    let panics = server.logs().iter().filter(|line| line["msg"] == "panicked").count();
    assert!((6..=11).contains(&panics), "{panics}");
}
