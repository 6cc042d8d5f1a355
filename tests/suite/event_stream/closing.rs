//! The ends of an event stream: each close code is an event, and nothing follows it.

use serde_json::json;

use crate::support::client::chat::Chat;
use crate::support::client::event_stream::{PATH, StreamClient, StreamEvent, lines, question, resume};
use crate::support::client::http_stream::StreamRequest;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{metric, panic_at, wait_for_metric};
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

#[tokio::test]
async fn ten_malformed_frames_in_a_row_close_the_stream() {
    let chat = Chat::new(&[]).await;
    let mut visitor =
        StreamClient::open_with(chat.server.address(), &StreamRequest::post(PATH, &"hello\n".repeat(8)))
            .await;
    assert_eq!(visitor.post_text("{}\n[]\n{\"type\":\"ping\"}\n").await.status, 202);
    for _ in 0..10 {
        assert_eq!(visitor.expect_frame("error").await["code"], "VALIDATION_ERROR");
    }
    // The ping after the tenth is not answered.
    let StreamEvent::Close(close) = visitor.next().await else { panic!("no close event") };
    assert_eq!(close, json!({"type": "close", "code": 4400, "reason": "too many malformed messages"}));
    assert_eq!(visitor.next().await, StreamEvent::End);
}

#[tokio::test]
async fn flood_of_frames_closes_the_stream() {
    let chat = Chat::new(&[]).await;
    let mut visitor = StreamClient::open_with_get(&chat.server).await;
    let body = lines(&[json!({"type": "ping"}), json!({"type": "ping"})]).repeat(4);
    let post_path = format!("{PATH}/{}", visitor.connection_id);
    let address = chat.server.address();
    let flood = async {
        let mut posting = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let request = StreamRequest::post(&post_path, &body).header("Connection", "close");
            posting.spawn(async move { while request.send(address).await.status != 404 {} });
        }
        posting.join_all().await;
    };
    let (code, ()) = tokio::join!(visitor.wait_for_close(), flood);
    assert_eq!(code, 4429);
    assert_eq!(metric(&chat.server, "session_frame_rate_limit_closes_total").await, 1.0);
}

#[tokio::test]
async fn shutdown_is_announced_and_closes_the_stream() {
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    let mut idle = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;
    let session = idle.expect_session().await;
    let mut answered = StreamClient::open(&chat.server, &[question("Count.")]).await;
    answered.receive_text("One, ").await;
    chat.server.terminate().await;

    assert_eq!(idle.expect_frame("notice").await["code"], "DRAINING");
    assert_eq!(answered.expect_frame("notice").await["code"], "DRAINING");
    gate.open();
    let rest = answered.receive_rest().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
    assert_eq!(answered.wait_for_close().await, 1012);
    assert_eq!(idle.wait_for_close().await, 1012);
    assert_eq!(chat.server.wait_for_exit().await.code(), Some(0));

    chat.server.restart().await;
    let mut back = StreamClient::open(&chat.server, &[resume(&session)]).await;
    assert_eq!(back.expect_session().await.frame["resumed"], true);
}

#[tokio::test]
async fn idle_stream_is_kept_alive_warned_and_closed() {
    let config = ServerConfig::demo().with("IDLE_TIMEOUT", "3s").with("HEARTBEAT_INTERVAL", "500ms");
    let server = Server::start(config).await;
    let mut visitor = StreamClient::open(&server, &[json!({"type": "start"})]).await;
    visitor.expect_session().await;
    let mut comments = 0;
    let notice = loop {
        match visitor.next().await {
            // A comment is a ping that the client has answered by reading it; otherwise the second
            // one would close the connection.
            StreamEvent::Comment(comment) => {
                assert_eq!(comment, "keep-alive");
                comments += 1;
            }
            StreamEvent::Frame(frame) => break frame,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(notice["code"], "IDLE_SOON");
    assert!(comments >= 4, "{comments} comments");
    assert_eq!(visitor.wait_for_close().await, 4408);
}

#[tokio::test]
async fn stream_that_is_not_read_is_reset() {
    let chat = Chat::new(&[("SLOW_READER_TIMEOUT", "1s")]).await;
    let words = "word ".repeat(2_000);
    chat.upstream.queue(Script::from_words(&vec![words.as_str(); 400]));
    let request = StreamRequest::post(PATH, &lines(&[question("Much?")])).receive_buffer(4 * 1024);
    let mut visitor = StreamClient::open_with(chat.server.address(), &request).await;
    wait_for_metric(&chat.server, "session_slow_consumer_closes_total", 1.0).await;
    wait_for_metric(&chat.server, "session_open_connections", 1.0).await;
    while !matches!(visitor.next().await, StreamEvent::Lost) {}
}

#[tokio::test]
async fn panic_closes_only_that_stream() {
    let chat = Chat::new(&[]).await;
    let mut other = StreamClient::open_with_get(&chat.server).await;
    let mut visitor = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;
    let session = visitor.expect_session().await;
    panic_at(&chat.server, "SessionText", 1).await;
    visitor.send(&[question("One?")]).await;
    assert_eq!(visitor.expect_frame("error").await["code"], "INTERNAL_ERROR");
    assert_eq!(visitor.wait_for_close().await, 1011);

    other.send(&[resume(&session)]).await;
    other.expect_session().await;
}
