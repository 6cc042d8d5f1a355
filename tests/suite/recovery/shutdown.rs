//! Leaving: answers are finished or kept, visitors are told, and everything is there afterwards.

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
    async fn visitors_are_told_and_come_back_to_everything(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        upstream.queue(Script::of(&["In ", "Lisbon."]));
        let first = visitor.ask_and_hear("Where does she live?").await;
        server.terminate().await;
        let notice = visitor.hear_type("notice").await;
        assert_eq!(notice["code"], "DRAINING");
        assert_eq!(visitor.hear_close().await, 1012);
        assert_eq!(server.wait_exit().await.code(), Some(0));

        server.restart().await;
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, json!(null)).await;
        assert_eq!(resumed.frame["resumed"], true);
        let history = &resumed.frame["history"];
        assert_eq!(history[0]["content"], "Where does she live?");
        assert_eq!((&history[1]["content"], &history[1]["status"]), (&json!("In Lisbon."), &json!("complete")));
        assert_eq!(history[1]["turn_id"], first.turn_id());
        assert_eq!(visitor.ask_and_hear("And before?").await.status(), "complete");
        assert_eq!(upstream.requests()[1].messages().len(), 4);
    }

    async fn an_answer_under_way_is_finished_first(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let mut server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let gate = Gate::default();
        upstream.queue(Script::of(&["One. ", "Two."]).hold_after(1, &gate));
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask("Count.").await;
        visitor.hear_until("delta").await;
        server.terminate().await;
        assert_eq!(visitor.hear_type("notice").await["code"], "DRAINING");
        visitor.ask("One more?").await;
        visitor.hear_error("TURN_IN_PROGRESS").await;
        gate.open();
        let answer = visitor.rest_of_answer().await;
        assert_eq!((answer.text.as_str(), answer.status()), ("Two.", "complete"));
        assert_eq!(answer.done["durable"], true);
        assert_eq!(visitor.hear_close().await, 1012);
        assert_eq!(server.wait_exit().await.code(), Some(0));
        let whole = "SELECT count(*) FROM messages WHERE content = 'One. Two.'";
        assert_eq!(store.number(whole).await, 1);
    }

    async fn an_answer_that_takes_too_long_is_kept_as_far_as_it_is(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let config = ServerConfig::serve(&store, &upstream).with("SHUTDOWN_TIMEOUT", "500ms");
        let mut server = Server::start(config).await;
        upstream.queue(Script::of(&["As far ", "as this"]).hang_after(2));
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        visitor.ask("How far?").await;
        // One delta or two: a subscriber may be handed both at once.
        let shown = visitor.hear_until("delta").await;
        server.terminate().await;
        let asked_to_leave = Instant::now();
        let rest = visitor.rest_of_answer().await;
        assert_eq!(rest.status(), "interrupted");
        assert_eq!(rest.done["durable"], true);
        assert_eq!(visitor.hear_close().await, 1012);
        assert_eq!(server.wait_exit().await.code(), Some(0));
        let took = asked_to_leave.elapsed();
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
        assert!(shown.len() + rest.deltas.len() >= 2);
        let kept = "SELECT count(*) FROM messages WHERE content = 'As far as this'";
        assert_eq!(store.number(kept).await, 1);
        let interrupted = "SELECT count(*) FROM turns WHERE status = 'interrupted' AND ended_at_ms IS NOT NULL";
        assert_eq!(store.number(interrupted).await, 1);

        server.restart().await;
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, json!(null)).await;
        assert_eq!(resumed.frame["history"][1]["content"], "As far as this");
        assert_eq!(resumed.frame["history"][1]["status"], "interrupted");
    }
}

on_both_stores! {
    async fn a_crowd_in_mid_answer_hears_how_every_turn_ends_and_all_of_it_is_stored(store: FreshStore) {
        const CROWD: usize = 100;
        let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
        let config = ServerConfig::serve(&store, &upstream).with("SHUTDOWN_TIMEOUT", "3s");
        let mut server = Server::start(config).await;
        // Every other answer comes to its end when the gate opens, the others never do.
        let open = gate.clone();
        upstream.answer_with(move |request| {
            let script = Script::of(&["As far ", "as this."]);
            if request.question().starts_with("Ends") { script.hold_after(1, &open) } else { script.hang_after(2) }
        });
        let visits = join_all((0..CROWD).map(async |number| {
            let mut visitor = ChatClient::connect(&server).await;
            let question = if number % 2 == 0 { "Ends" } else { "Never ends" };
            visitor.ask(&format!("{question}, {number}?")).await;
            visitor.hear_until("delta").await;
            visitor
        }));
        let visits = visits.await;
        let asked = Instant::now();
        server.terminate().await;
        let ends = join_all(visits.into_iter().enumerate().map(async |(number, mut visitor)| {
            visitor.hear_until("notice").await;
            if number == 0 {
                gate.open();
            }
            let done = visitor.rest_of_answer().await.done;
            let close = visitor.hear_close().await;
            let deltas = visitor.heard().iter().filter_map(|frame| frame["text"].as_str());
            (deltas.collect::<String>(), done, close)
        }));
        for (number, (text, done, close)) in ends.await.into_iter().enumerate() {
            let status = if number % 2 == 0 { "complete" } else { "interrupted" };
            assert_eq!((&done["status"], &done["durable"], close), (&json!(status), &json!(true), 1012), "{number}");
            assert_eq!(text, "As far as this.", "{number}");
        }
        assert_eq!(server.wait_exit().await.code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
        for status in ["complete", "interrupted"] {
            let turns = format!("SELECT count(*) FROM turns WHERE status = '{status}' AND ended_at_ms IS NOT NULL");
            assert_eq!(store.number(&turns).await, 50, "{status}");
        }
        let whole = "SELECT count(*) FROM messages WHERE role = 'assistant' AND content = 'As far as this.'";
        assert_eq!(store.number(whole).await, 100);
    }
}

/// A server that cannot leave yet, because an answer stands at the gate.
async fn draining(upstream: &FakeOpenRouter, gate: &Gate) -> (Server, ChatClient) {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("LLM_MODEL", "test/model");
    let server = Server::start(config).await;
    upstream.queue(Script::of(&["Wait."]).hold_after(1, gate));
    let mut visitor = ChatClient::connect(&server).await;
    visitor.ask("Are you leaving?").await;
    visitor.hear_until("delta").await;
    server.terminate().await;
    assert_eq!(visitor.hear_type("notice").await["code"], "DRAINING");
    (server, visitor)
}

#[tokio::test]
async fn nobody_new_is_let_in_while_it_leaves() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let (mut server, mut visitor) = draining(&upstream, &gate).await;
    let refused = ChatClient::connect_with(&server, &Handshake::new()).await;
    let Err(refused) = refused else { panic!("a server that leaves took a visitor in") };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body["code"], "SHUTTING_DOWN");
    assert_eq!(refused.body["retryable"], true);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // Readiness fails while the visitors that are there are still served; liveness does not.
    let ready = get(&server, "/health/ready").await;
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
    assert_eq!(get(&server, "/health/live").await.status, 200);
    assert_eq!(get(&server, "/health").await.json()["checks"]["sessions"]["status"], "unhealthy");
    gate.open();
    assert_eq!(visitor.rest_of_answer().await.status(), "complete");
    assert_eq!(visitor.hear_close().await, 1012);
    assert_eq!(server.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_open_connection_may_ask_nothing_new_while_it_leaves() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let mut server = Server::start(config).await;
    upstream.queue(Script::of(&["Wait."]).hold_after(1, &gate));
    let mut asking = ChatClient::connect(&server).await;
    let mut idle = ChatClient::connect(&server).await;
    idle.start().await;
    asking.ask("Are you leaving?").await;
    asking.hear_until("delta").await;
    server.terminate().await;
    assert_eq!(idle.hear_type("notice").await["code"], "DRAINING");
    idle.ask_with_id("q-1", "May I?").await;
    let refused = idle.hear_error("SHUTTING_DOWN").await;
    assert_eq!((&refused["id"], &refused["retryable"]), (&json!("q-1"), &json!(true)));
    gate.open();
    assert_eq!(idle.hear_close().await, 1012);
    assert_eq!(server.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let (mut server, mut visitor) = draining(&upstream, &gate).await;
    let again = Instant::now();
    server.signal("INT").await;
    assert_eq!(server.wait_exit().await.code(), Some(130));
    assert!(again.elapsed() < Duration::from_secs(2), "{:?}", again.elapsed());
    assert_eq!(visitor.hear_close().await, 1006);
}

#[tokio::test]
async fn a_visitor_who_has_gone_does_not_hold_it_up() {
    let mut server = Server::start(ServerConfig::demo()).await;
    for _ in 0..5 {
        ChatClient::connect(&server).await.drop_abruptly();
    }
    server.terminate().await;
    let asked = Instant::now();
    assert_eq!(server.wait_exit().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}
