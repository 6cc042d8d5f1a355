//! A visitor's side of a chat, in sentences; every frame heard is held against the contract.

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
use crate::support::client::handshake::{Handshake, Refusal};
use crate::support::server::test_server::Server;
use crate::support::{PATIENCE, within};

/// A connected client.
pub(crate) struct ChatClient {
    socket: WebSocketStream<TcpStream>,
    contract: Contract,
    heard: Vec<Value>,
    headers: Vec<(String, String)>,
}

enum Heard {
    Frame(Value),
    Closed(u16),
}

impl ChatClient {
    /// Connects as a program that is no browser.
    pub(crate) async fn connect(server: &Server) -> Self {
        match Self::connect_with(server, &Handshake::new()).await {
            Ok(client) => client,
            Err(refusal) => panic!("the server refused the handshake: {refusal:?}"),
        }
    }

    /// Connects with headers of one's own.
    pub(crate) async fn connect_with(server: &Server, handshake: &Handshake) -> Result<Self, Refusal> {
        Self::connect_to(server.address(), handshake).await
    }

    /// Connects to any address.
    pub(crate) async fn connect_to(address: SocketAddr, handshake: &Handshake) -> Result<Self, Refusal> {
        let opened = handshake.open(address).await?;
        let socket =
            WebSocketStream::from_partially_read(opened.stream, opened.early, Role::Client, None).await;
        Ok(Self { socket, contract: Contract::default(), heard: Vec::new(), headers: opened.headers })
    }

    /// A header of the server's handshake, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// Every frame so far, the oldest first.
    pub(crate) fn heard(&self) -> &[Value] {
        &self.heard
    }

    /// Sends a frame.
    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(&frame.to_string()).await;
    }

    /// Sends a text frame that need not be JSON.
    pub(crate) async fn say_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a binary frame.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.send(Message::binary(Bytes::copy_from_slice(bytes))).await;
    }

    /// Asks.
    pub(crate) async fn ask(&mut self, question: &str) {
        self.say(json!({"type": "question", "question": question})).await;
    }

    /// Asks under an id of one's own.
    pub(crate) async fn ask_with_id(&mut self, id: &str, question: &str) {
        self.say(json!({"type": "question", "question": question, "id": id})).await;
    }

    /// Asks and hears the whole answer.
    pub(crate) async fn ask_and_hear(&mut self, question: &str) -> Answer {
        self.ask(question).await;
        self.answer().await
    }

    /// Has the last answer given anew, and hears it.
    pub(crate) async fn regenerate(&mut self, id: Option<&str>) -> Answer {
        let mut frame = json!({"type": "regenerate"});
        if let Some(id) = id {
            frame["id"] = json!(id);
        }
        self.say(frame).await;
        self.answer().await
    }

    /// A part of the transcript, which `wanted` chooses by `before` and `limit`.
    pub(crate) async fn history(&mut self, mut wanted: Value) -> Value {
        wanted["type"] = json!("history");
        self.say(wanted).await;
        self.hear_type("history").await
    }

    /// Begins a conversation.
    pub(crate) async fn start(&mut self) -> SessionInfo {
        self.say(json!({"type": "start"})).await;
        SessionInfo::of(self.hear_type("session").await)
    }

    /// Comes back to a conversation, having shown all up to `cursor` (null: nothing).
    pub(crate) async fn resume(&mut self, session: &SessionInfo, cursor: Value) -> SessionInfo {
        self.ask_to_resume(session, cursor).await;
        SessionInfo::of(self.hear_type("session").await)
    }

    /// Sends `resume` without hearing what comes of it.
    pub(crate) async fn ask_to_resume(&mut self, session: &SessionInfo, cursor: Value) {
        let (id, token) = (&session.session_id, &session.resume_token);
        let mut frame = json!({"type": "resume", "session_id": id, "resume_token": token});
        if let (Some(frame), false) = (frame.as_object_mut(), cursor.is_null()) {
            frame.insert("cursor".to_owned(), cursor);
        }
        self.say(frame).await;
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Value {
        self.hear_expecting("a frame").await
    }

    /// The next frame, which must be of this type.
    pub(crate) async fn hear_type(&mut self, kind: &str) -> Value {
        let frame = self.hear_expecting(kind).await;
        assert!(type_of(&frame) == kind, "waited for {kind}; what came instead: {frame}{}", self.before());
        frame
    }

    /// The next frame, which must be an `error` with this code.
    pub(crate) async fn hear_error(&mut self, code: &str) -> Value {
        let frame = self.hear_type("error").await;
        assert!(frame.get("code") == Some(&json!(code)), "waited for {code}; what came instead: {frame}");
        frame
    }

    /// Everything up to the first frame of this type, which is the last one returned.
    pub(crate) async fn hear_until(&mut self, kind: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.hear_expecting(kind).await);
            if frames.last().is_some_and(|frame| type_of(frame) == kind) {
                return frames;
            }
        }
    }

    /// The whole answer to what was just asked; a turn that fails is an answer, a question that is refused is not.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = self.rest_of_answer().await;
        assert!(!answer.accepted.is_null(), "an answer without accepted: {answer:?}");
        answer
    }

    /// The rest of an answer up to its `done`, as after a resume.
    pub(crate) async fn rest_of_answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.hear_expecting("done").await;
            match type_of(&frame) {
                "done" => {
                    answer.done = frame;
                    return answer;
                }
                "accepted" => answer.accepted = frame,
                "delta" => {
                    answer.text.push_str(frame.get("text").and_then(Value::as_str).unwrap_or_default());
                    answer.seqs.extend(frame.get("seq").and_then(Value::as_u64));
                    answer.deltas.push(frame);
                }
                "reset" => {
                    (answer.text, answer.deltas, answer.seqs) = Default::default();
                    answer.others.push(frame);
                }
                "error" => {
                    let busy = frame.get("code") == Some(&json!("TURN_IN_PROGRESS"));
                    let of_a_turn = frame.get("turn_id").is_some_and(|turn| !turn.is_null());
                    assert!(of_a_turn && !busy, "the question was refused: {frame}{}", self.before());
                    answer.error = frame;
                }
                _ => answer.others.push(frame),
            }
        }
    }

    /// Makes sure that the server has nothing more to say: the next frame answers a `ping` sent now.
    pub(crate) async fn hear_nothing_more(&mut self) {
        self.say(json!({"type": "ping", "id": "nothing-more"})).await;
        self.hear_type("pong").await;
    }

    /// The next frame, which may take longer than others.
    pub(crate) async fn hear_within(&mut self, patience: Duration) -> Value {
        match self.next("a frame", patience).await {
            Heard::Frame(frame) => frame,
            Heard::Closed(code) => panic!("the server closed with {code}{}", self.before()),
        }
    }

    /// The next frame, or the code with which the server closes.
    pub(crate) async fn hear_or_close(&mut self) -> Result<Value, u16> {
        match self.next("a frame or the server to close", PATIENCE).await {
            Heard::Frame(frame) => Ok(frame),
            Heard::Closed(code) => Err(code),
        }
    }

    /// The code with which the server closes, after whatever it still says. 1005: none; 1006: without a close frame.
    pub(crate) async fn hear_close(&mut self) -> u16 {
        loop {
            if let Heard::Closed(code) = self.next("the server to close", PATIENCE).await {
                return code;
            }
        }
    }

    /// Closes as a tab that is closed does, and waits for the server's close.
    pub(crate) async fn leave(mut self) -> u16 {
        let closing = self.socket.close(None);
        // A server that was faster has closed too, which is all that is wanted.
        let _ = within("the close frame to be taken", closing).await;
        self.hear_close().await
    }

    /// Goes without a close frame, as a lost network does.
    pub(crate) fn drop_abruptly(self) {}

    async fn send(&mut self, message: Message) {
        // A server that has closed is noticed where the test listens, with its code.
        let _ = within("the server to take a frame", self.socket.send(message)).await;
    }

    async fn hear_expecting(&mut self, what: &str) -> Value {
        match self.next(what, PATIENCE).await {
            Heard::Frame(frame) => frame,
            Heard::Closed(code) => {
                panic!("waited for {what}; the server closed with {code} instead{}", self.before())
            }
        }
    }

    async fn next(&mut self, what: &str, patience: Duration) -> Heard {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let message = match tokio::time::timeout_at(deadline, self.socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(_)) | None) => return Heard::Closed(1006),
                Err(_) => panic!("waited {patience:?} for {what}, and nothing came{}", self.before()),
            };
            match message {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text);
                    let frame: Value = frame.unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}"));
                    if let Err(objection) = self.contract.check(&frame) {
                        panic!("{objection}: {frame}{}", self.before());
                    }
                    self.heard.push(frame.clone());
                    return Heard::Frame(frame);
                }
                Message::Close(close) => return Heard::Closed(close.map_or(1005, |close| close.code.into())),
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Binary(_) | Message::Frame(_) => {
                    panic!("the server sent a frame that is no text: {message:?}")
                }
            }
        }
    }

    fn before(&self) -> String {
        let last = self.heard.iter().rev().take(8).rev();
        format!("\nheard before:{}", last.map(|frame| format!("\n  {frame}")).collect::<String>())
    }
}

fn type_of(frame: &Value) -> &str {
    frame.get("type").and_then(Value::as_str).unwrap_or_default()
}
