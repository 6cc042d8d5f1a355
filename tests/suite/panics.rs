//! Our own code panics: the process lives, whoever is concerned is told, and everything is there afterwards.

use serde_json::{Value, json};

use crate::on_both_stores;
use crate::support::answer::cursor_at;
use crate::support::chat::{Chat, hear_text, until_stored};
use crate::support::chat_client::ChatClient;
use crate::support::faults::{arm, metric, panicked_at, until_metric};
use crate::support::gate::Gate;
use crate::support::handshake::Handshake;
use crate::support::http::get;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

/// What a panic's message quotes, and the log must not.
const QUESTION: &str = "markerquestion one?";

/// A visitor with a request id of their own.
async fn visitor(server: &Server, request_id: &str) -> ChatClient {
    let handshake = Handshake::new().header("X-Request-Id", request_id);
    ChatClient::connect_with(server, &handshake).await.unwrap()
}

/// The one line of this request that says where it panicked; no line of the log holds what was said.
async fn the_one_line_of(server: &Server, request_id: &str) -> Value {
    let of_it = |line: &Value| line["request_id"] == request_id && line["at"].is_string();
    let line = server.wait_for_log("the panic's line", of_it).await;
    let lines: Vec<Value> = server.logs().into_iter().filter(of_it).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(panicked_at(&line, "src/system/failpoints.rs"), "{line}");
    assert_eq!(line["panic"], "(message not shown)");
    for written in server.logs() {
        assert!(!written.to_string().contains("marker"), "{written}");
    }
    line
}

on_both_stores! {
    async fn a_session_that_panics_ends_alone_and_its_visitor_loses_nothing(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let mut other = chat.another().await;
        let mut visitor = visitor(&chat.server, "unlucky-1").await;
        let session = visitor.start().await;
        let gate = Gate::default();
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        visitor.ask("Count, please.").await;
        let shown = hear_text(&mut visitor, "One ").await;
        let turn_id = shown["turn_id"].clone();
        arm(&chat.server, "SessionText", 1).await;
        visitor.ask(QUESTION).await;
        let error = visitor.hear_error("INTERNAL_ERROR").await;
        assert_eq!((&error["request_id"], &error["retryable"]), (&json!("unlucky-1"), &json!(true)));
        assert_eq!(visitor.hear_close().await, 1011);
        let line = the_one_line_of(&chat.server, "unlucky-1").await;
        assert_eq!((&line["session_id"], &line["turn_id"]), (&json!(session.session_id), &turn_id));
        // Nothing of it is left: neither its place nor its listening.
        until_metric(&chat.server, "session_open_connections", 2.0).await;
        until_metric(&chat.server, "session_open_sessions", 0.0).await;
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"session\"}").await, 1.0);
        let mut visitor = chat.another().await;
        let back = visitor.resume(&session, cursor_at(&shown)).await;
        assert_eq!(back.frame["recovered"], true);
        gate.open();
        let rest = visitor.rest_of_answer().await;
        assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
        assert_eq!(visitor.ask_and_hear("And now?").await.status(), "complete");
        assert_eq!(other.ask_and_hear("And here?").await.status(), "complete");
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'complete'", 3).await;
    }

    async fn a_session_that_panics_over_an_answer_or_an_order_is_closed_as_well(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let mut visitor = chat.another().await;
        let session = visitor.start().await;
        arm(&chat.server, "SessionProgress", 1).await;
        visitor.ask("Where?").await;
        visitor.hear_error("INTERNAL_ERROR").await;
        assert_eq!(visitor.hear_close().await, 1011);
        let mut visitor = chat.another().await;
        visitor.resume(&session, json!(null)).await;
        arm(&chat.server, "SessionOrder", 1).await;
        // The order: somebody else has taken the session over.
        let mut back = chat.another().await;
        back.resume(&session, json!(null)).await;
        assert_eq!(visitor.hear_close().await, 1011);
        assert_eq!(back.ask_and_hear("And now?").await.status(), "complete");
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"session\"}").await, 2.0);
    }

    async fn the_models_actor_is_made_anew_and_knows_its_answers(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let (mut reader, gate) = (chat.another().await, Gate::default());
        let session = reader.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        reader.ask("Count, please.").await;
        let shown = hear_text(&mut reader, "One ").await;
        let mut asker = visitor(&chat.server, "unlucky-2").await;
        asker.start().await;
        arm(&chat.server, "LlmAsk", 1).await;
        asker.ask_with_id("q-1", QUESTION).await;
        let error = asker.hear_error("INTERNAL_ERROR").await;
        assert_eq!(
            (&error["request_id"], &error["retryable"], &error["id"]),
            (&json!("unlucky-2"), &json!(true), &json!("q-1"))
        );
        let line = the_one_line_of(&chat.server, "unlucky-2").await;
        assert_eq!(line["actor"], "llm");
        // On the same connection, under the same id, to the same actor.
        asker.ask_with_id("q-1", QUESTION).await;
        assert_eq!(asker.answer().await.status(), "complete");
        // The answer under way is still found, and cannot be asked for in vain.
        reader.drop_abruptly();
        let mut reader = chat.another().await;
        arm(&chat.server, "LlmFind", 1).await;
        reader.ask_to_resume(&session, cursor_at(&shown)).await;
        reader.hear_error("INTERNAL_ERROR").await;
        let back = reader.resume(&session, cursor_at(&shown)).await;
        assert_eq!(back.frame["recovered"], true);
        gate.open();
        assert_eq!(reader.rest_of_answer().await.text, "two.");
        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"llm\"}").await, 2.0);
        assert_eq!(get(&chat.server, "/health?deep=true").await.status, 200);
    }

    async fn a_timer_that_panics_is_begun_again_with_its_actor(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        // Who says nothing is let go before two sweeps have passed.
        chat.visitor.start().await;
        for restarts in [1.0, 2.0] {
            arm(&chat.server, "LlmSweep", 1).await;
            until_metric(&chat.server, "actor_restarts_total{actor=\"llm\"}", restarts).await;
        }
        assert_eq!(chat.visitor.ask_and_hear("Still there?").await.status(), "complete");
    }

    async fn an_answer_whose_task_panics_is_a_failed_turn(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let mut visitor = visitor(&chat.server, "unlucky-3").await;
        let session = visitor.start().await;
        for (point, code) in [("AnswerTask", 1.0), ("AnswerConclude", 2.0)] {
            arm(&chat.server, point, 1).await;
            visitor.ask(QUESTION).await;
            let answer = visitor.answer().await;
            assert_eq!((answer.status(), &answer.error["code"]), ("failed", &json!("INTERNAL_ERROR")));
            assert_eq!(answer.error["request_id"], "unlucky-3");
            assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"answer\"}").await, code);
            if point == "AnswerTask" {
                let line = the_one_line_of(&chat.server, "unlucky-3").await;
                assert_eq!((&line["session_id"], &line["turn_id"]), (&json!(session.session_id), &json!(answer.turn_id())));
            }
        }
        assert_eq!(visitor.ask_and_hear("And now?").await.status(), "complete");
        // No place is held for ever.
        assert_eq!(metric(&chat.server, "upstream_queue_depth").await, 0.0);
        until_stored(&store, "SELECT count(*) FROM turns WHERE status = 'answering'", 0).await;
    }

    async fn the_stores_actor_is_made_anew_and_nothing_that_waits_is_lost(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let mut visitor = visitor(&chat.server, "unlucky-4").await;
        arm(&chat.server, "PersistenceCreate", 1).await;
        visitor.ask_with_id("q-1", QUESTION).await;
        let error = visitor.hear_error("INTERNAL_ERROR").await;
        assert_eq!((&error["request_id"], &error["id"]), (&json!("unlucky-4"), &json!("q-1")));
        let line = the_one_line_of(&chat.server, "unlucky-4").await;
        assert_eq!(line["actor"], "persistence");
        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"persistence\"}").await, 1.0);
        // A reply that is lost does not lose the write.
        arm(&chat.server, "PersistenceReply", 1).await;
        visitor.ask_with_id("q-1", QUESTION).await;
        let answer = visitor.answer().await;
        assert_eq!((answer.status(), &answer.accepted["durable"]), ("complete", &json!(true)));
        arm(&chat.server, "PersistenceRead", 1).await;
        visitor.say(json!({"type": "history"})).await;
        visitor.hear_error("INTERNAL_ERROR").await;
        visitor.say(json!({"type": "history"})).await;
        assert_eq!(visitor.hear_type("history").await["messages"].as_array().map(Vec::len), Some(2));
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 2);
        assert_eq!(store.number("SELECT count(*) FROM sessions").await, 1);
    }

    async fn a_writer_that_panics_writes_again_and_nothing_twice(store: FreshStore) {
        let mut chat = Chat::on(&store, &[]).await;
        chat.visitor.start().await;
        let mut turns = 0;
        // Before anything, in the middle, and when all is committed and nobody knows.
        for point in ["WriterGroup", "WriterCommit", "WriterCommitted"] {
            for times in [1, 2] {
                arm(&chat.server, point, times).await;
                let answer = chat.visitor.ask_and_hear("Where?").await;
                let durable = (&answer.accepted["durable"], &answer.done["durable"]);
                assert_eq!((answer.status(), durable), ("complete", (&json!(true), &json!(true))), "{point}");
                turns += 1;
                assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, turns);
                assert_eq!(store.number("SELECT count(*) FROM messages").await, turns * 2, "{point}");
            }
        }
        assert_eq!(metric(&chat.server, "actor_restarts_total{actor=\"writer\"}").await, 3.0);
        assert_eq!(get(&chat.server, "/health?deep=true").await.status, 200);
    }
}

on_both_stores! {
    async fn any_write_may_be_committed_without_anybody_knowing(store: FreshStore) {
        let chat = Chat::on(&store, &[]).await;
        let unknown = async || arm(&chat.server, "WriterCommitted", 1).await;
        let (mut visitor, gate) = (chat.another().await, Gate::default());
        unknown().await;
        let session = visitor.start().await;
        chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
        unknown().await;
        visitor.ask_with_id("q-1", "Count, please.").await;
        assert_eq!(visitor.hear_type("accepted").await["durable"], true);
        visitor.hear_until("delta").await;
        unknown().await;
        gate.open();
        assert_eq!(visitor.rest_of_answer().await.done["durable"], true);
        // The connection owns the session in the store's eyes, too, or it could not ask.
        unknown().await;
        let mut back = chat.another().await;
        back.resume(&session, json!(null)).await;
        assert_eq!(visitor.hear_close().await, 4409);
        assert_eq!(back.ask_and_hear("And now?").await.done["durable"], true);
        assert_eq!(metric(&chat.server, "actor_panics_total{actor=\"persistence\"}").await, 4.0);
        for (query, count) in [
            ("SELECT count(*) FROM sessions", 1),
            ("SELECT count(*) FROM turns WHERE status = 'complete'", 2),
            ("SELECT count(*) FROM messages", 4),
            ("SELECT count(*) FROM messages WHERE content = 'One two.'", 1),
        ] {
            assert_eq!(store.number(query).await, count, "{query}");
        }
    }
}

#[tokio::test]
async fn a_session_that_panics_listens_no_more() {
    let chat = Chat::with(&[("RECONNECT_GRACE", "500ms")]).await;
    let mut visitor = chat.another().await;
    chat.upstream.queue(Script::of(&["One ", "two."]).hang_after(1));
    visitor.ask("Count, please.").await;
    hear_text(&mut visitor, "One ").await;
    arm(&chat.server, "SessionText", 1).await;
    visitor.ask(QUESTION).await;
    assert_eq!(visitor.hear_close().await, 1011);
    // As when a network is lost: with nobody there the model is asked no longer.
    chat.upstream.wait_for_abort().await;
    assert_eq!(chat.turn_ended().await["status"], "interrupted");
}

#[tokio::test]
async fn a_write_that_panics_whenever_it_is_tried_is_dropped_alone() {
    let mut chat = Chat::with(&[]).await;
    chat.visitor.start().await;
    // A group of one: tried as often as anything unclear.
    arm(&chat.server, "WriterCommit", 3).await;
    chat.visitor.ask("Where?").await;
    let refused = chat.visitor.hear_error("INTERNAL_ERROR").await;
    assert_eq!(refused["retryable"], true);
    assert_eq!(chat.visitor.ask_and_hear("And now?").await.done["durable"], true);
}

#[tokio::test]
async fn a_probe_survives_the_panics_of_who_answers_it() {
    let server = Server::start(ServerConfig::demo()).await;
    for point in ["HealthReceive", "HealthCheck"] {
        arm(&server, point, 1).await;
        let probe = get(&server, "/health?deep=true").await;
        assert_eq!((probe.status, &probe.json()["code"]), (503, &json!("OVERLOADED")), "{point}: {probe:?}");
        assert_eq!(get(&server, "/health?deep=true").await.status, 200, "{point}");
    }
    arm(&server, "HttpHealth", 1).await;
    let probe = get(&server, "/health").await;
    assert_eq!((probe.status, &probe.json()["code"]), (500, &json!("INTERNAL_ERROR")), "{probe:?}");
    let request_id = probe.header("x-request-id").unwrap().to_owned();
    assert_eq!(probe.json()["request_id"], *request_id);
    the_one_line_of(&server, &request_id).await;
    assert_eq!(get(&server, "/health").await.status, 200);
    assert_eq!(metric(&server, "actor_panics_total{actor=\"http\"}").await, 1.0);
}

#[tokio::test]
async fn the_watchdog_looks_on_after_a_panic() {
    let server = Server::start(ServerConfig::demo()).await;
    arm(&server, "WatchdogLook", 1).await;
    until_metric(&server, "actor_restarts_total{actor=\"watchdog\"}", 1.0).await;
    assert_eq!(get(&server, "/health?deep=true").await.status, 200);
}

#[tokio::test]
async fn an_actor_that_panics_too_often_makes_the_server_leave_in_order() {
    let mut chat = Chat::with(&[]).await;
    let gate = Gate::default();
    let mut reader = chat.another().await;
    let session = reader.start().await;
    chat.upstream.queue(Script::of(&["One ", "two."]).hold_after(1, &gate));
    reader.ask("Count, please.").await;
    hear_text(&mut reader, "One ").await;
    chat.visitor.start().await;
    arm(&chat.server, "LlmAsk", 6).await;
    for _ in 0..6 {
        chat.visitor.ask("Where?").await;
        chat.visitor.hear_until("error").await;
    }
    assert_eq!(reader.hear_type("notice").await["code"], "DRAINING");
    let deep = get(&chat.server, "/health?deep=true").await;
    assert_eq!((deep.status, &deep.json()["checks"]["actors"]["status"]), (503, &json!("unhealthy")));
    assert_eq!(deep.json()["checks"]["actors"]["detail"], "llm panicked too often; the server leaves");
    assert_eq!(get(&chat.server, "/health/ready").await.status, 503);
    // What is under way comes to its end.
    gate.open();
    let rest = reader.rest_of_answer().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
    assert_eq!(reader.hear_close().await, 1012);
    assert_eq!(chat.server.wait_exit().await.code(), Some(70));
    chat.server.restart().await;
    let back = chat.another().await.resume(&session, json!(null)).await;
    assert_eq!(back.frame["history"][1]["content"], "One two.");
}

#[tokio::test]
async fn an_actor_that_only_ever_panics_is_not_begun_for_ever() {
    let mut server = Server::start(ServerConfig::demo()).await;
    arm(&server, "WatchdogLook", u32::MAX).await;
    assert_eq!(server.wait_exit().await.code(), Some(70));
    let panics = server.logs().iter().filter(|line| line["msg"] == "panicked").count();
    assert!((6..=11).contains(&panics), "{panics}");
}
