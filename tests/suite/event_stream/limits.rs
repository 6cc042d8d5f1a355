//! Requests that are rejected: origins, limits per address, unknown connections, large bodies, full
//! queues.

use serde_json::{Value, json};

use crate::support::client::chat::Chat;
use crate::support::client::event_stream::{PATH, StreamClient, question};
use crate::support::client::http::{HttpResponse, post_to};
use crate::support::client::http_stream::{StreamRequest, StreamResponse};
use crate::support::server::failpoints::{metric, pause_at, unpause, wait_until_paused};

const MAX_MESSAGE_BYTES: usize = 16 * 1024;

async fn code_of(response: StreamResponse) -> (u16, String) {
    let status = response.status;
    let body: Value = serde_json::from_str(&response.text().await).unwrap();
    assert!(body["request_id"].is_string(), "{body}");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn code(response: &HttpResponse) -> (u16, String) {
    (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn pages_of_other_origins_are_rejected_on_every_path() {
    let chat = Chat::new(&[("ALLOWED_ORIGINS", "https://ada.example")]).await;
    let address = chat.server.address();
    let visitor = StreamClient::open_with_get(&chat.server).await;
    let post_path = format!("{PATH}/{}", visitor.connection_id);
    for (origin, expected) in [("https://evil.example", 403), ("null", 403), ("https://ada.example", 200)] {
        for request in [StreamRequest::get(PATH), StreamRequest::post(PATH, "")] {
            let response = request.header("Origin", origin).send(address).await;
            assert_eq!(response.status, expected, "{origin}");
        }
        let posted = post_to(address, &post_path, &[("Origin", origin)], r#"{"type":"ping"}"#).await;
        assert_eq!(posted.status, if expected == 200 { 202 } else { 403 }, "{origin}");
    }
    let rejected = StreamRequest::get(PATH).header("Origin", "https://evil.example").send(address).await;
    assert_eq!(code_of(rejected).await, (403, "NOT_AUTHORIZED".to_owned()));
}

#[tokio::test]
async fn both_transports_share_the_connection_limits() {
    let settings = [("MAX_CONNECTIONS_PER_ADDRESS", "2"), ("MAX_CONNECTIONS", "3")];
    // The socket of the set-up is the first connection.
    let chat = Chat::new(&settings).await;
    let address = chat.server.address();
    let stream = StreamClient::open_with_get(&chat.server).await;
    for request in [StreamRequest::get(PATH), StreamRequest::post(PATH, "")] {
        let rejected = request.send(address).await;
        assert_eq!(rejected.header("retry-after"), Some("5"));
        assert_eq!(code_of(rejected).await, (429, "RATE_LIMIT_EXCEEDED".to_owned()));
    }
    let elsewhere = |address| StreamRequest::get(PATH).with_local_address(address);
    let third = StreamClient::open_with(address, &elsewhere("127.0.0.2")).await;
    let rejected = elsewhere("127.0.0.3").send(address).await;
    assert_eq!(code_of(rejected).await, (503, "OVERLOADED".to_owned()));

    // Frames for open streams are no connections.
    stream.send(&[json!({"type": "ping"})]).await;
    third.send(&[json!({"type": "ping"})]).await;
}

#[tokio::test]
async fn questions_and_sessions_are_limited_as_over_a_socket() {
    let chat =
        Chat::new(&[("SESSIONS_PER_HOUR_PER_ADDRESS", "1"), ("RATE_LIMIT_REQUESTS_PER_MINUTE", "1")]).await;
    let mut first = StreamClient::open(&chat.server, &[question("One?")]).await;
    first.expect_session().await;
    first.receive_rest().await;
    first.send(&[question("Two?")]).await;
    assert_eq!(first.expect_frame("error").await["code"], "RATE_LIMIT_EXCEEDED");
    let mut second = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;
    assert_eq!(second.expect_frame("error").await["code"], "RATE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn frames_for_an_unknown_or_ended_connection_are_rejected() {
    let chat = Chat::new(&[]).await;
    let address = chat.server.address();
    let mut ended = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;
    ended.send(&[json!({"type": "forget"})]).await;
    assert_eq!(ended.wait_for_close().await, 1000);
    for id in ["x", "0123456789abcdef0123456789abcdef", ended.connection_id.as_str()] {
        let response = post_to(address, &format!("{PATH}/{id}"), &[], r#"{"type":"ping"}"#).await;
        assert_eq!(code(&response), (404, "CONNECTION_NOT_FOUND".to_owned()), "{id}");
        assert_eq!(response.json()["retryable"], false);
    }
    let other = StreamClient::open_with_get(&chat.server).await;
    let another = StreamClient::open_with_get(&chat.server).await;
    assert_ne!(other.connection_id, another.connection_id);
}

#[tokio::test]
async fn bodies_are_bounded_by_frame_and_by_number() {
    let chat = Chat::new(&[]).await;
    let address = chat.server.address();
    let mut visitor = StreamClient::open_with_get(&chat.server).await;
    let empty = r#"{"type":"ping","padding":""}"#;
    let ping = |bytes: usize| format!(r#"{{"type":"ping","padding":"{}"}}"#, "x".repeat(bytes - empty.len()));
    let largest = ping(MAX_MESSAGE_BYTES);
    for (body, expected) in [
        (format!("{largest}\n").repeat(8), 202),
        (ping(MAX_MESSAGE_BYTES + 1), 413),
        ("{}\n".repeat(9), 413),
        ("x".repeat(9 * MAX_MESSAGE_BYTES), 413),
    ] {
        let posted = visitor.post_text(&body).await;
        assert_eq!(posted.status, expected, "{} bytes", body.len());
        if expected == 413 {
            assert_eq!(code(&posted), (413, "MESSAGE_TOO_LONG".to_owned()));
            let first = StreamRequest::post(PATH, &body).send(address).await;
            assert_eq!(code_of(first).await, (413, "MESSAGE_TOO_LONG".to_owned()));
        }
    }
    for _ in 0..8 {
        visitor.expect_frame("pong").await;
    }
    assert_eq!(metric(&chat.server, "session_open_connections").await, 2.0);
}

#[tokio::test]
async fn frames_that_do_not_fit_into_the_queue_are_rejected_as_a_whole() {
    let chat = Chat::new(&[]).await;
    pause_at(&chat.server, "WriterBatch").await;
    // The session waits for the store, so nothing leaves the queue.
    let mut visitor = StreamClient::open(&chat.server, &[json!({"type": "start"})]).await;
    wait_until_paused(&chat.server, "WriterBatch").await;
    let pings = |first: usize| -> Vec<Value> {
        (first..first + 8).map(|id| json!({"type": "ping", "id": id.to_string()})).collect()
    };
    visitor.send(&pings(0)).await;
    visitor.send(&pings(8)).await;
    let rejected = visitor.post(&pings(16)).await;
    assert_eq!(code(&rejected), (503, "OVERLOADED".to_owned()));
    assert_eq!(rejected.header("retry-after"), Some("1"));
    assert_eq!(rejected.json()["retryable"], true);
    unpause(&chat.server, "WriterBatch").await;

    visitor.expect_session().await;
    for id in 0..16 {
        assert_eq!(visitor.expect_frame("pong").await["id"], id.to_string());
    }
    visitor.send(&pings(16)).await;
    assert_eq!(visitor.expect_frame("pong").await["id"], "16");
    assert_eq!(metric(&chat.server, "session_event_stream_queue_rejections_total").await, 1.0);
}

#[tokio::test]
async fn body_that_does_not_arrive_in_time_is_rejected() {
    let chat = Chat::new(&[("MESSAGE_TIMEOUT", "1s")]).await;
    let address = chat.server.address();
    // `Content-Length` promises more than is sent.
    let stalled = StreamRequest::unfinished_post(PATH).send(address).await;
    assert_eq!(code_of(stalled).await, (408, "VALIDATION_ERROR".to_owned()));
    assert_eq!(metric(&chat.server, "session_open_connections").await, 1.0);
}

#[tokio::test]
async fn text_that_is_not_utf_8_and_other_methods_are_rejected() {
    let chat = Chat::new(&[]).await;
    let address = chat.server.address();
    let visitor = StreamClient::open_with_get(&chat.server).await;
    let latin_1 =
        StreamRequest::post_bytes(&format!("{PATH}/{}", visitor.connection_id), b"{\"type\":\"caf\xe9\"}");
    assert_eq!(code_of(latin_1.send(address).await).await, (400, "VALIDATION_ERROR".to_owned()));
    let get = StreamRequest::get(&format!("{PATH}/{}", visitor.connection_id)).send(address).await;
    assert_eq!(get.status, 405);
}
