//! The responses that the HTTP library writes before a request reaches the application.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::exchange::{Exchange, operator_address, send, send_raw};
use crate::support::client::handshake::Handshake;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::panic_at;
use crate::support::server::test_server::Server;
use crate::support::within;

fn assert_error(response: &Exchange, status: u16, code: &str) {
    assert_eq!(response.status, status, "{response:?}");
    response.assert_security_headers();
    assert_eq!(response.expect_header("content-type"), "application/json");
    assert_eq!(response.expect_header("content-length"), response.body.len().to_string());
    let error = response.json();
    assert_eq!(error["code"], code, "{response:?}");
    assert_eq!(error["request_id"].as_str(), response.header("x-request-id").as_deref());
}

#[tokio::test]
async fn malformed_late_and_long_heads_get_complete_error_responses() {
    let server = Server::start(ServerConfig::demo()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}", "x".repeat(200 * 1024));

    for address in [server.address(), operator_address(&server).await] {
        for malformed in ["GET\r\n\r\n", "\x16\x03\x01\r\n\r\n", "GET / HTTP/1.1\r\nHo st: x\r\n\r\n"] {
            let response = send_raw(address, malformed.as_bytes()).await;
            assert_error(&response, 400, "VALIDATION_ERROR");
            assert_eq!(response.header("connection").as_deref(), Some("close"));
        }
        assert_error(&send_raw(address, long.as_bytes()).await, 431, "VALIDATION_ERROR");
        assert_error(&send_raw(address, b"GET / HTTP/1.1\r\nHost: loc").await, 408, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn error_after_a_response_on_the_same_connection_is_complete_too() {
    let server = Server::start(ServerConfig::demo()).await;
    let request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n";

    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut responses = String::new();
    within("both responses", stream.read_to_string(&mut responses)).await.unwrap();

    let (first, second) = responses.split_once("HTTP/1.1 400").unwrap_or_else(|| panic!("{responses}"));
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.ends_with("{\"status\":\"live\"}"), "{first}");
    assert!(second.contains("x-content-type-options: nosniff") && second.ends_with('}'), "{second}");
}

#[tokio::test]
async fn websocket_bytes_that_look_like_an_error_are_unchanged() {
    let server = Server::start(ServerConfig::demo()).await;
    let mut socket = RawSocket::connect_to(server.address(), &Handshake::new()).await;
    let look_alike = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    socket.send(&Frame::new(9, look_alike.to_vec())).await;
    let pong = socket.read_frame().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (10, &look_alike[..]));
}

#[tokio::test]
async fn panicking_handlers_answer_with_the_common_headers() {
    let server = Server::start(ServerConfig::demo()).await;
    panic_at(&server, "HttpHealth", 1).await;
    let response = send(server.address(), "GET", "/health", &[]).await;
    assert_error(&response, 500, "INTERNAL_ERROR");
}
