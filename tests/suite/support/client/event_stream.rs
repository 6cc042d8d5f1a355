//! A chat client over server-sent events. It checks every frame against the wire contract.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::answer::{Answer, SessionInfo};
use crate::support::client::frame_contract::Contract;
use crate::support::client::http::{HttpResponse, post_to};
use crate::support::client::http_stream::{StreamRequest, StreamResponse};
use crate::support::server::test_server::Server;
use crate::support::{TIMEOUT, within};

/// The path of event streams.
pub(crate) const PATH: &str = "/sse/chat";

/// What arrives on an event stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StreamEvent {
    /// A frame of the server.
    Frame(Value),
    /// A comment.
    Comment(String),
    /// The `close` event with its data.
    Close(Value),
    /// The response has ended.
    End,
    /// The connection was lost.
    Lost,
}

/// An open event stream.
pub(crate) struct StreamClient {
    /// The response, whose body is the stream.
    pub(crate) response: StreamResponse,
    /// The id to post frames to.
    pub(crate) connection_id: String,
    /// The id of the last event that had one, as `EventSource` remembers it.
    pub(crate) last_event_id: String,
    address: SocketAddr,
    contract: Contract,
    text: String,
    received: Vec<Value>,
}

/// Returns the body of a request with these frames.
pub(crate) fn lines(frames: &[Value]) -> String {
    frames.iter().map(|frame| format!("{frame}\n")).collect()
}

/// Returns a `question` frame.
pub(crate) fn question(text: &str) -> Value {
    json!({"type": "question", "question": text})
}

/// Returns a `resume` frame without a cursor.
pub(crate) fn resume(session: &SessionInfo) -> Value {
    json!({"type": "resume", "session_id": session.session_id, "resume_token": session.resume_token})
}

impl StreamClient {
    /// Opens a stream with these first frames.
    pub(crate) async fn open(server: &Server, frames: &[Value]) -> Self {
        Self::open_with(server.address(), &StreamRequest::post(PATH, &lines(frames))).await
    }

    /// Opens a stream as `EventSource` does.
    pub(crate) async fn open_with_get(server: &Server) -> Self {
        Self::open_with(server.address(), &StreamRequest::get(PATH)).await
    }

    /// Opens a stream with this request, which must be accepted.
    pub(crate) async fn open_with(address: SocketAddr, request: &StreamRequest) -> Self {
        let response = request.send(address).await;
        let status = response.status;
        assert!(status == 200, "the request was rejected with {status}: {}", response.text().await);
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        let mut client = Self {
            response,
            connection_id: String::new(),
            last_event_id: String::new(),
            address,
            contract: Contract::default(),
            text: String::new(),
            received: Vec::new(),
        };
        let connected = client.next_block("the connected event").await.unwrap_or_default();
        assert!(connected.starts_with(": "), "no comment at the start: {connected}");
        let connected = client.next_block("the connected event").await.unwrap_or_default();
        let data = connected.strip_prefix("event: connected\ndata: ");
        let data: Value = data
            .and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_else(|| panic!("not connected: {connected:?}"));
        assert_eq!(data["type"], "connected");
        client.connection_id = data["connection_id"].as_str().unwrap_or_default().to_owned();
        assert_eq!(client.connection_id.len(), 32, "{data}");
        client
    }

    /// Posts further frames and returns the response.
    pub(crate) async fn post(&self, frames: &[Value]) -> HttpResponse {
        self.post_text(&lines(frames)).await
    }

    /// Posts a body and returns the response.
    pub(crate) async fn post_text(&self, body: &str) -> HttpResponse {
        post_to(self.address, &format!("{PATH}/{}", self.connection_id), &[], body).await
    }

    /// Posts further frames, which must be accepted.
    pub(crate) async fn send(&self, frames: &[Value]) {
        let response = self.post(frames).await;
        assert_eq!((response.status, response.body.as_str()), (202, ""), "{response:?}");
    }

    /// Receives what arrives next.
    pub(crate) async fn next(&mut self) -> StreamEvent {
        let Ok(block) = self.next_block_or_end("an event").await else { return StreamEvent::Lost };
        let Some(block) = block else { return StreamEvent::End };
        let (mut name, mut data) = ("message", String::new());
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("", comment)) => return StreamEvent::Comment(comment.to_owned()),
                Some(("event", event)) => name = event,
                Some(("data", text)) => data.push_str(text),
                Some(("id", id)) => self.last_event_id = id.to_owned(),
                _ => panic!("not a line of an event stream: {line:?}"),
            }
        }
        let data: Value =
            serde_json::from_str(&data).unwrap_or_else(|error| panic!("{data:?} is not JSON: {error}"));
        match name {
            "message" => {
                if let Err(violation) = self.contract.check(&data) {
                    panic!("{violation}: {data}{}", self.recent_frames());
                }
                self.received.push(data.clone());
                StreamEvent::Frame(data)
            }
            "close" => {
                assert_eq!(data["type"], "close", "{data}");
                StreamEvent::Close(data)
            }
            _ => panic!("unknown event {name}: {data}"),
        }
    }

    /// Receives the next frame, ignoring comments.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match self.next().await {
                StreamEvent::Frame(frame) => return frame,
                StreamEvent::Comment(_) => {}
                other => panic!("expected a frame, received {other:?}{}", self.recent_frames()),
            }
        }
    }

    /// Receives the next frame, which must be of this type.
    pub(crate) async fn expect_frame(&mut self, kind: &str) -> Value {
        let frame = self.receive().await;
        assert!(frame["type"] == kind, "expected {kind}, received {frame}{}", self.recent_frames());
        frame
    }

    /// Receives the `session` frame.
    pub(crate) async fn expect_session(&mut self) -> SessionInfo {
        SessionInfo::from_frame(self.expect_frame("session").await)
    }

    /// Receives frames up to and including the first of this type, which is returned.
    pub(crate) async fn receive_until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.receive().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Receives deltas until their text equals `text`.
    pub(crate) async fn receive_text(&mut self, text: &str) {
        let mut received = String::new();
        while received != text {
            received.push_str(self.receive_until("delta").await["text"].as_str().unwrap_or_default());
            assert!(text.starts_with(&received), "expected {text:?}, received {received:?}");
        }
    }

    /// Receives the rest of an answer up to its `done`.
    pub(crate) async fn receive_rest(&mut self) -> Answer {
        let mut answer = Answer::default();
        while !answer.add(self.receive().await) {}
        answer
    }

    /// Receives and ignores frames until the `close` event, and checks that the response ends after
    /// it. Returns the close code.
    pub(crate) async fn wait_for_close(&mut self) -> u64 {
        loop {
            match self.next().await {
                StreamEvent::Close(data) => {
                    assert_eq!(self.next().await, StreamEvent::End);
                    return data["code"].as_u64().unwrap_or_default();
                }
                StreamEvent::Frame(_) | StreamEvent::Comment(_) => {}
                other => panic!("expected a close event, received {other:?}{}", self.recent_frames()),
            }
        }
    }

    /// Checks that nothing arrives for this long.
    pub(crate) async fn expect_silence(&mut self, duration: Duration) {
        if let Ok(event) = tokio::time::timeout(duration, self.next()).await {
            panic!("received {event:?}{}", self.recent_frames());
        }
    }

    /// Drops the connection, as a lost network does.
    pub(crate) fn drop_abruptly(self) {}

    async fn next_block(&mut self, what: &str) -> Option<String> {
        let block = self.next_block_or_end(what).await;
        block.unwrap_or_else(|error| panic!("the stream was lost while waiting for {what}: {error}"))
    }

    /// Reads up to the next blank line; `None` at the end of the response.
    async fn next_block_or_end(&mut self, what: &str) -> std::io::Result<Option<String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Ok(Some(block));
            }
            let chunk = tokio::time::timeout(TIMEOUT, self.response.next_chunk()).await;
            let chunk =
                chunk.unwrap_or_else(|_| panic!("timed out waiting for {what}{}", self.recent_frames()));
            match chunk? {
                // The server writes whole events, but a proxy may split them between chunks.
                Some(chunk) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                None => return Ok(None),
            }
        }
    }

    fn recent_frames(&self) -> String {
        let recent = self.received.iter().rev().take(8).rev();
        format!("\nreceived before:{}", recent.map(|frame| format!("\n  {frame}")).collect::<String>())
    }
}

/// Sends a one-shot request and returns its whole body.
pub(crate) async fn one_shot(address: SocketAddr, frames: &[Value]) -> String {
    let request = StreamRequest::post(&format!("{PATH}?close=done"), &lines(frames));
    within("the one-shot response", async { request.send(address).await.text().await }).await
}
