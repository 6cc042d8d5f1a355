//! `close=done`: one request and one complete response, for proxies that buffer and for scripts.

use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::event_stream::{PATH, StreamClient, lines, one_shot, question, resume};
use crate::support::client::http_stream::StreamRequest;
use crate::support::server::failpoints::wait_for_metric;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

fn done(frames: &[Value]) -> StreamRequest {
    StreamRequest::post(&format!("{PATH}?close=done"), &lines(frames))
}

#[tokio::test]
async fn stream_closes_after_the_answer() {
    let chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let request = done(&[question("Count.")]);
    let mut visitor = StreamClient::open_with(chat.server.address(), &request).await;
    let session = visitor.expect_session().await;
    visitor.receive_text("One, ").await;
    gate.open();
    let answer = visitor.receive_rest().await;
    assert_eq!((answer.text.as_str(), answer.status()), ("two.", "complete"));
    assert_eq!(visitor.wait_for_close().await, 1000);

    // Each request resumes on its own connection, so any instance can serve it.
    let body = one_shot(chat.server.address(), &[resume(&session), question("And?")]).await;
    let last = body.trim_end().rsplit("\n\n").next().unwrap_or_default();
    assert!(last.starts_with("event: close\ndata: {\"type\":\"close\",\"code\":1000,"), "{body}");
    assert!(body.contains(r#""type":"done""#), "{body}");
}

#[tokio::test]
async fn everything_that_was_asked_for_is_done_before_the_stream_closes() {
    let chat = Chat::new(&[]).await;
    let mut first = StreamClient::open_with(chat.server.address(), &done(&[question("One?")])).await;
    let session = first.expect_session().await;
    let turn = first.receive_rest().await.turn_id().to_owned();

    for (frames, expected) in [
        (vec![json!({"type": "ping"})], vec!["pong"]),
        (vec![json!({"type": "history"})], vec!["error"]),
        (vec![resume(&session), json!({"type": "history"})], vec!["session", "history"]),
        (
            vec![resume(&session), json!({"type": "feedback", "turn_id": turn, "rating": "up"})],
            vec!["session", "feedback_saved"],
        ),
        (vec![resume(&session), json!({"type": "forget"})], vec!["session", "forgotten"]),
        (vec![resume(&session)], vec!["error"]),
        (vec![], vec![]),
    ] {
        let mut stream = StreamClient::open_with(chat.server.address(), &done(&frames)).await;
        for kind in expected {
            stream.expect_frame(kind).await;
        }
        assert_eq!(stream.wait_for_close().await, 1000, "{frames:?}");
    }
}

#[tokio::test]
async fn request_without_a_reader_leaves_nothing_behind() {
    let chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let mut visitor = StreamClient::open_with(chat.server.address(), &done(&[question("Count.")])).await;
    let session = visitor.expect_session().await;
    gate.wait_until_reached().await;
    visitor.drop_abruptly();
    wait_for_metric(&chat.server, "session_open_connections", 1.0).await;
    gate.open();

    let body = one_shot(chat.server.address(), &[resume(&session)]).await;
    assert!(body.contains(r#""text":"One, two."#) || body.contains(r#""content":"One, two.""#), "{body}");
}

#[tokio::test]
async fn other_values_of_close_are_rejected() {
    let chat = Chat::new(&[]).await;
    for query in ["close=soon", "close=", "close=done&close=done"] {
        let response = StreamRequest::post(&format!("{PATH}?{query}"), "").send(chat.server.address()).await;
        assert_eq!(response.status, 400, "{query}");
        assert!(response.text().await.contains("`close` is `done` or absent."));
    }
}
