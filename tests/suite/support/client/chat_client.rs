//! A WebSocket chat client. It checks every frame it receives against the wire contract.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::client::answer::{Answer, SessionInfo};
use crate::support::client::frame_contract::Contract;
use crate::support::client::handshake::{Handshake, Rejection};
use crate::support::server::test_server::Server;
use crate::support::{TIMEOUT, within};

/// A connected client.
pub(crate) struct ChatClient {
    socket: WebSocketStream<TcpStream>,
    contract: Contract,
    received: Vec<Value>,
    headers: Vec<(String, String)>,
}

enum Received {
    Frame(Value),
    Closed(u16),
}

impl ChatClient {
    /// Connects without an `Origin` header, like a program that is not a browser.
    pub(crate) async fn connect(server: &Server) -> Self {
        match Self::connect_with(server, &Handshake::new()).await {
            Ok(client) => client,
            Err(rejection) => panic!("the server rejected the handshake: {rejection:?}"),
        }
    }

    /// Connects with the headers of `handshake`.
    pub(crate) async fn connect_with(server: &Server, handshake: &Handshake) -> Result<Self, Rejection> {
        Self::connect_to(server.address(), handshake).await
    }

    /// Connects to `address`.
    pub(crate) async fn connect_to(address: SocketAddr, handshake: &Handshake) -> Result<Self, Rejection> {
        let opened = handshake.open(address).await?;
        let socket =
            WebSocketStream::from_partially_read(opened.stream, opened.early, Role::Client, None).await;
        Ok(Self { socket, contract: Contract::default(), received: Vec::new(), headers: opened.headers })
    }

    /// Returns a header of the server's handshake response. `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Returns all frames received so far, oldest first.
    pub(crate) fn frames(&self) -> &[Value] {
        &self.received
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends a text frame, which need not be JSON.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends a binary frame.
    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_message(Message::binary(Bytes::copy_from_slice(bytes))).await;
    }

    /// Sends a question without an id.
    pub(crate) async fn ask(&mut self, question: &str) {
        self.send(json!({"type": "question", "question": question})).await;
    }

    /// Sends a question with a client-chosen id.
    pub(crate) async fn ask_with_id(&mut self, id: &str, question: &str) {
        self.send(json!({"type": "question", "question": question, "id": id})).await;
    }

    /// Sends a question and receives the whole answer.
    pub(crate) async fn ask_and_wait(&mut self, question: &str) -> Answer {
        self.ask(question).await;
        self.receive_answer().await
    }

    /// Asks for the last answer to be regenerated, and receives the new one.
    pub(crate) async fn regenerate(&mut self, id: Option<&str>) -> Answer {
        let mut frame = json!({"type": "regenerate"});
        if let Some(id) = id {
            frame["id"] = json!(id);
        }
        self.send(frame).await;
        self.receive_answer().await
    }

    /// Requests a page of the transcript. `request` may hold `before` and `limit`.
    pub(crate) async fn history(&mut self, mut request: Value) -> Value {
        request["type"] = json!("history");
        self.send(request).await;
        self.expect_frame("history").await
    }

    /// Starts a session.
    pub(crate) async fn start(&mut self) -> SessionInfo {
        self.send(json!({"type": "start"})).await;
        SessionInfo::from_frame(self.expect_frame("session").await)
    }

    /// Resumes a session. `cursor` is the last delta displayed, or null if there is none.
    pub(crate) async fn resume(&mut self, session: &SessionInfo, cursor: Value) -> SessionInfo {
        self.send_resume(session, cursor).await;
        SessionInfo::from_frame(self.expect_frame("session").await)
    }

    /// Sends `resume` without waiting for the reply.
    pub(crate) async fn send_resume(&mut self, session: &SessionInfo, cursor: Value) {
        let (id, token) = (&session.session_id, &session.resume_token);
        let mut frame = json!({"type": "resume", "session_id": id, "resume_token": token});
        if let (Some(frame), false) = (frame.as_object_mut(), cursor.is_null()) {
            frame.insert("cursor".to_owned(), cursor);
        }
        self.send(frame).await;
    }

    /// Receives the next frame.
    pub(crate) async fn receive(&mut self) -> Value {
        self.receive_expecting("a frame").await
    }

    /// Receives the next frame, which must be of this type.
    pub(crate) async fn expect_frame(&mut self, kind: &str) -> Value {
        let frame = self.receive_expecting(kind).await;
        assert!(type_of(&frame) == kind, "expected {kind}, received {frame}{}", self.recent_frames());
        frame
    }

    /// Receives the next frame, which must be an `error` with this code.
    pub(crate) async fn expect_error(&mut self, code: &str) -> Value {
        let frame = self.expect_frame("error").await;
        assert!(frame.get("code") == Some(&json!(code)), "expected {code}, received {frame}");
        frame
    }

    /// Receives frames up to and including the first of this type.
    pub(crate) async fn receive_until(&mut self, kind: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.receive_expecting(kind).await);
            if frames.last().is_some_and(|frame| type_of(frame) == kind) {
                return frames;
            }
        }
    }

    /// Receives the whole answer to the last question. A failed turn counts as an answer; a
    /// rejected question fails the test.
    pub(crate) async fn receive_answer(&mut self) -> Answer {
        let answer = self.receive_rest().await;
        assert!(!answer.accepted.is_null(), "answer without an accepted frame: {answer:?}");
        answer
    }

    /// Receives the rest of an answer up to its `done`, for example after a resume.
    pub(crate) async fn receive_rest(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.receive_expecting("done").await;
            if answer.add(frame) {
                return answer;
            }
        }
    }

    /// Checks that no frame is pending: the next frame answers a `ping` sent now.
    pub(crate) async fn expect_no_more_frames(&mut self) {
        self.send(json!({"type": "ping", "id": "nothing-more"})).await;
        self.expect_frame("pong").await;
    }

    /// Receives the next frame, with a deadline other than [`TIMEOUT`].
    pub(crate) async fn receive_within(&mut self, timeout: Duration) -> Value {
        match self.next("a frame", timeout).await {
            Received::Frame(frame) => frame,
            Received::Closed(code) => panic!("the server closed with {code}{}", self.recent_frames()),
        }
    }

    /// Receives the next frame, or the close code as `Err` if the server closes.
    pub(crate) async fn receive_or_close(&mut self) -> Result<Value, u16> {
        match self.next("a frame or the server to close", TIMEOUT).await {
            Received::Frame(frame) => Ok(frame),
            Received::Closed(code) => Err(code),
        }
    }

    /// Receives and ignores frames until the server closes. Returns the close code, which is 1005
    /// if the close frame has none and 1006 if there is no close frame.
    pub(crate) async fn wait_for_close(&mut self) -> u16 {
        loop {
            if let Received::Closed(code) = self.next("the server to close", TIMEOUT).await {
                return code;
            }
        }
    }

    /// Sends a close frame, as a browser does for a closed tab, and waits for the server's close
    /// code.
    pub(crate) async fn close(mut self) -> u16 {
        let closing = self.socket.close(None);
        // An error means that the server has closed first, which is fine.
        let _ = within("the close frame to be sent", closing).await;
        self.wait_for_close().await
    }

    /// Drops the TCP connection without a close frame, as a lost network does.
    pub(crate) fn drop_abruptly(self) {}

    async fn send_message(&mut self, message: Message) {
        // If the server has closed, the next receive reports it together with the close code.
        let _ = within("a frame to be sent", self.socket.send(message)).await;
    }

    async fn receive_expecting(&mut self, what: &str) -> Value {
        match self.next(what, TIMEOUT).await {
            Received::Frame(frame) => frame,
            Received::Closed(code) => {
                panic!("expected {what}, but the server closed with {code}{}", self.recent_frames())
            }
        }
    }

    async fn next(&mut self, what: &str, timeout: Duration) -> Received {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let message = match tokio::time::timeout_at(deadline, self.socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(_)) | None) => return Received::Closed(1006),
                Err(_) => panic!("timed out after {timeout:?} waiting for {what}{}", self.recent_frames()),
            };
            match message {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text);
                    let frame: Value = frame.unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}"));
                    if let Err(violation) = self.contract.check(&frame) {
                        panic!("{violation}: {frame}{}", self.recent_frames());
                    }
                    self.received.push(frame.clone());
                    return Received::Frame(frame);
                }
                Message::Close(close) => {
                    return Received::Closed(close.map_or(1005, |close| close.code.into()));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Binary(_) | Message::Frame(_) => {
                    panic!("the server sent a non-text frame: {message:?}")
                }
            }
        }
    }

    /// Formats the last frames for a failure message.
    fn recent_frames(&self) -> String {
        let recent = self.received.iter().rev().take(8).rev();
        format!("\nreceived before:{}", recent.map(|frame| format!("\n  {frame}")).collect::<String>())
    }
}

fn type_of(frame: &Value) -> &str {
    frame.get("type").and_then(Value::as_str).unwrap_or_default()
}
