//! Graceful shutdown: answers are finished or stored, clients are notified, and nothing is lost.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::on_both_stores;
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::get;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

on_both_stores! {
    async fn shutdown_notifies_clients_and_keeps_their_sessions(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        upstream.queue(Script::from_words(&["In ", "Lisbon."]));

        let first = visitor.ask_and_wait("Where does she live?").await;
        server.terminate().await;
        let notice = visitor.expect_frame("notice").await;

        assert_eq!(notice["code"], "DRAINING");
        assert_eq!(visitor.wait_for_close().await, 1012);
        assert_eq!(server.wait_for_exit().await.code(), Some(0));

        server.restart().await;
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, json!(null)).await;

        assert_eq!(resumed.frame["resumed"], true);

        let history = &resumed.frame["history"];
        assert_eq!(history[0]["content"], "Where does she live?");
        assert_eq!(
            (&history[1]["content"], &history[1]["status"]),
            (&json!("In Lisbon."), &json!("complete"))
        );
        assert_eq!(history[1]["turn_id"], first.turn_id());
        assert_eq!(visitor.ask_and_wait("And before?").await.status(), "complete");
        assert_eq!(upstream.requests()[1].messages().len(), 4);
    }

    async fn shutdown_finishes_the_answer_in_progress(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let gate = Gate::default();
        upstream.queue(Script::from_words(&["One. ", "Two."]).hold_after(1, &gate));
        let mut visitor = ChatClient::connect(&server).await;

        visitor.ask("Count.").await;
        visitor.receive_until("delta").await;
        server.terminate().await;

        assert_eq!(visitor.expect_frame("notice").await["code"], "DRAINING");

        visitor.ask("One more?").await;
        visitor.expect_error("TURN_IN_PROGRESS").await;

        gate.open();
        let answer = visitor.receive_rest().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Two.", "complete"));
        assert_eq!(answer.done["durable"], true);
        assert_eq!(visitor.wait_for_close().await, 1012);
        assert_eq!(server.wait_for_exit().await.code(), Some(0));

        let whole = "SELECT count(*) FROM messages WHERE content = 'One. Two.'";
        assert_eq!(store.query_number(whole).await, 1);
    }

    async fn shutdown_timeout_interrupts_and_stores_the_answer(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with("SHUTDOWN_TIMEOUT", "500ms");
        let mut server = Server::start(config).await;
        upstream.queue(Script::from_words(&["As far ", "as this"]).hang_after(2));
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;

        visitor.ask("How far?").await;
        // One or both deltas, because a subscriber may receive both at once.
        let shown = visitor.receive_until("delta").await;
        server.terminate().await;
        let terminated_at = Instant::now();
        let rest = visitor.receive_rest().await;

        assert_eq!(rest.status(), "interrupted");
        assert_eq!(rest.done["durable"], true);
        assert_eq!(visitor.wait_for_close().await, 1012);
        assert_eq!(server.wait_for_exit().await.code(), Some(0));

        let took = terminated_at.elapsed();
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
        assert!(shown.len() + rest.deltas.len() >= 2);

        let kept = "SELECT count(*) FROM messages WHERE content = 'As far as this'";
        assert_eq!(store.query_number(kept).await, 1);

        let interrupted =
            "SELECT count(*) FROM turns WHERE status = 'interrupted' AND ended_at_ms IS NOT NULL";
        assert_eq!(store.query_number(interrupted).await, 1);

        server.restart().await;
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, json!(null)).await;

        assert_eq!(resumed.frame["history"][1]["content"], "As far as this");
        assert_eq!(resumed.frame["history"][1]["status"], "interrupted");
    }
}

/// Lets answers to even questions complete when the gate opens. The other answers hang.
fn complete_every_second_answer(upstream: &FakeOpenRouter, gate: &Gate) {
    let gate = gate.clone();
    upstream.answer_with(move |request| {
        let script = Script::from_words(&["As far ", "as this."]);
        if request.question().starts_with("Ends") {
            script.hold_after(1, &gate)
        } else {
            script.hang_after(2)
        }
    });
}

/// Connects, asks the `number`-th question and waits for the first delta.
async fn ask_in_crowd(server: &Server, number: usize) -> ChatClient {
    let mut visitor = ChatClient::connect(server).await;
    let question = if number.is_multiple_of(2) { "Ends" } else { "Never ends" };
    visitor.ask(&format!("{question}, {number}?")).await;
    visitor.receive_until("delta").await;
    visitor
}

on_both_stores! {
    async fn shutdown_ends_and_stores_every_turn_of_many_clients(store: FreshStore) {
        const CLIENTS: usize = 100;
        let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
        let config = ServerConfig::serve(&store, &upstream).with("SHUTDOWN_TIMEOUT", "3s");
        let mut server = Server::start(config).await;

        complete_every_second_answer(&upstream, &gate);
        let visitors = join_all((0..CLIENTS).map(|number| ask_in_crowd(&server, number))).await;

        let terminated_at = Instant::now();
        server.terminate().await;
        let finishing = join_all(visitors.into_iter().enumerate().map(async |(number, mut visitor)| {
            visitor.receive_until("notice").await;
            if number == 0 {
                gate.open();
            }
            let done = visitor.receive_rest().await.done;
            let close = visitor.wait_for_close().await;
            let deltas = visitor.frames().iter().filter_map(|frame| frame["text"].as_str());
            (deltas.collect::<String>(), done, close)
        }));

        for (number, (text, done, close)) in finishing.await.into_iter().enumerate() {
            let status = if number.is_multiple_of(2) { "complete" } else { "interrupted" };
            assert_eq!(
                (&done["status"], &done["durable"], close),
                (&json!(status), &json!(true), 1012),
                "{number}"
            );
            assert_eq!(text, "As far as this.", "{number}");
        }

        assert_eq!(server.wait_for_exit().await.code(), Some(0));
        assert!(terminated_at.elapsed() < Duration::from_secs(12), "{:?}", terminated_at.elapsed());

        for status in ["complete", "interrupted"] {
            let turns =
                format!("SELECT count(*) FROM turns WHERE status = '{status}' AND ended_at_ms IS NOT NULL");
            assert_eq!(store.query_number(&turns).await, 50, "{status}");
        }

        let whole = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'As far as this.'";
        assert_eq!(store.query_number(whole).await, 100);
    }
}

/// Starts a server and terminates it while an answer waits at the gate.
async fn start_draining_server(upstream: &FakeOpenRouter, gate: &Gate) -> (Server, ChatClient) {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("LLM_MODEL", "test/model");
    let server = Server::start(config).await;
    upstream.queue(Script::from_words(&["Wait."]).hold_after(1, gate));
    let mut visitor = ChatClient::connect(&server).await;
    visitor.ask("Are you leaving?").await;
    visitor.receive_until("delta").await;
    server.terminate().await;
    assert_eq!(visitor.expect_frame("notice").await["code"], "DRAINING");
    (server, visitor)
}

#[tokio::test]
async fn shutdown_rejects_new_connections_and_fails_readiness() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let (mut server, mut visitor) = start_draining_server(&upstream, &gate).await;

    let rejected = ChatClient::connect_with(&server, &Handshake::new()).await;
    let Err(rejected) = rejected else { panic!("a server that shuts down accepted a connection") };
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.body["code"], "SHUTTING_DOWN");
    assert_eq!(rejected.body["retryable"], true);
    assert!(rejected.header("retry-after").is_some(), "{rejected:?}");

    // Readiness fails while open connections are served; liveness does not.
    let ready = get(&server, "/health/ready").await;
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
    assert_eq!(get(&server, "/health/live").await.status, 200);
    assert_eq!(get(&server, "/health").await.json()["checks"]["sessions"]["status"], "unhealthy");

    gate.open();
    assert_eq!(visitor.receive_rest().await.status(), "complete");
    assert_eq!(visitor.wait_for_close().await, 1012);
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn shutdown_rejects_new_questions_on_open_connections() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let mut server = Server::start(config).await;
    upstream.queue(Script::from_words(&["Wait."]).hold_after(1, &gate));
    let mut asking = ChatClient::connect(&server).await;
    let mut idle = ChatClient::connect(&server).await;
    idle.start().await;

    asking.ask("Are you leaving?").await;
    asking.receive_until("delta").await;
    server.terminate().await;

    assert_eq!(idle.expect_frame("notice").await["code"], "DRAINING");

    idle.ask_with_id("q-1", "May I?").await;
    let rejected = idle.expect_error("SHUTTING_DOWN").await;
    assert_eq!((&rejected["id"], &rejected["retryable"]), (&json!("q-1"), &json!(true)));

    gate.open();
    assert_eq!(idle.wait_for_close().await, 1012);
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_exits_immediately() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let (mut server, mut visitor) = start_draining_server(&upstream, &gate).await;

    let signalled_at = Instant::now();
    server.signal("INT").await;

    assert_eq!(server.wait_for_exit().await.code(), Some(130));
    assert!(signalled_at.elapsed() < Duration::from_secs(2), "{:?}", signalled_at.elapsed());
    assert_eq!(visitor.wait_for_close().await, 1006);
}

#[tokio::test]
async fn dropped_connections_do_not_delay_shutdown() {
    let mut server = Server::start(ServerConfig::demo()).await;

    for _ in 0..5 {
        ChatClient::connect(&server).await.drop_abruptly();
    }
    server.terminate().await;
    let terminated_at = Instant::now();

    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    assert!(terminated_at.elapsed() < Duration::from_secs(2), "{:?}", terminated_at.elapsed());
}
