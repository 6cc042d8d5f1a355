//! The behaviour of a visitor: connecting, starting and resuming sessions, and choosing actions.

use serde_json::{Value, json};

use super::connection::{Connection, Received};
use super::state::{ConnectionState, RECEIVE_TIMEOUT, Session, Visitor, resume_frame};
use crate::oracle::Violation;
use crate::oracle::numbered_words::question_key;
use crate::oracle::transcript::Transcript;

/// The replies to a question that reuses the id of a stored question with another text.
const REUSED_ID_ERRORS: [&str; 4] = ["DUPLICATE_ID", "STORAGE_UNAVAILABLE", "SHUTTING_DOWN", "OVERLOADED"];

impl Visitor {
    /// Connects again and again until the end of the run.
    pub(crate) async fn visit(mut self) -> Self {
        while !self.run.is_over() {
            let small_buffer = self.random.percent(15);
            self.losses_at_connect = self.run.losses();
            if let Some(connection) = Connection::open(self.run.address, small_buffer).await {
                self.use_connection(connection).await;
            } else {
                self.run.count("connections", "rejected");
            }
            if let Some(session) = self.sessions.last_mut() {
                session.transcript.disconnect();
            }
            self.pause(0, 300).await;
        }
        self
    }

    /// Starts or resumes a session, and then performs some actions.
    async fn use_connection(&mut self, mut connection: Connection) {
        self.run.count("connections", "opened");
        let starts_new = self.needs_new_session || self.random.percent(3);
        let state = if starts_new {
            self.start_session(&mut connection).await
        } else {
            self.resume_session(&mut connection).await
        };
        if state == ConnectionState::Ended {
            return;
        }
        self.needs_new_session = false;
        for _ in 0..self.random.between(1, 9) {
            if self.run.is_over() || self.needs_new_session {
                break;
            }
            match self.act(connection).await {
                Some(usable) => connection = usable,
                None => return,
            }
        }
        if self.random.percent(50) {
            connection.close().await;
        }
    }

    async fn start_session(&mut self, connection: &mut Connection) -> ConnectionState {
        if !connection.send(&json!({"type": "start"})).await {
            return ConnectionState::Ended;
        }
        let Received::Frame(frame) = connection.receive(RECEIVE_TIMEOUT).await else {
            return ConnectionState::Ended;
        };
        if frame["type"] != "session" {
            self.run.count("rejections", frame["code"].as_str().unwrap_or("an unexpected frame"));
            return ConnectionState::Ended;
        }
        let text = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        self.sessions.push(Session {
            id: text("session_id"),
            resume_token: text("resume_token"),
            transcript: Transcript::default(),
            accepted_keys: Vec::new(),
            pending_key: None,
        });
        self.run.count("sessions", "started");
        self.check(&frame, None);
        ConnectionState::Open
    }

    /// Resumes the newest session, usually with the cursor of the last delta, sometimes with an
    /// older one or with none.
    async fn resume_session(&mut self, connection: &mut Connection) -> ConnectionState {
        let (stale, without_cursor) = (self.random.percent(15), self.random.percent(10));
        let choice = self.random.below(1 << 20);
        let Some(session) = self.sessions.last_mut() else { return ConnectionState::Ended };
        let cursor = match (without_cursor, stale) {
            (true, _) => None,
            (_, true) => session.transcript.rewind(|deltas| choice % deltas),
            _ => session.transcript.cursor(),
        };
        if !connection.send(&resume_frame(session, cursor.as_ref())).await {
            return ConnectionState::Ended;
        }
        let Some(frame) = self.receive(connection, cursor.as_ref()).await else {
            return ConnectionState::Ended;
        };
        if frame["type"] != "session" {
            self.handle_rejection(&frame);
            return ConnectionState::Ended;
        }
        self.receive_rest(connection).await
    }

    /// Performs one action while no answer is in progress. Returns the connection if it is usable.
    async fn act(&mut self, connection: Connection) -> Option<Connection> {
        let action = self.random.between(0, 100);
        let choice = self.random.below(1 << 20);
        let session = self.sessions.last_mut()?;
        if let Some(pending) = session.pending_key.clone() {
            return self.ask(connection, pending).await;
        }
        let keys = &session.accepted_keys;
        let earlier = if keys.is_empty() { None } else { keys.get(choice % keys.len()).cloned() };
        match (action, earlier) {
            (0..12, Some(earlier)) => self.ask(connection, earlier).await,
            // The id of a question that is not stored may be unknown to the server.
            (12..16, Some(earlier)) if session.transcript.is_question_stored(&earlier) => {
                self.reuse_id(connection, &earlier).await
            }
            (16..24, _) => self.request_history(connection).await,
            (24..27, _) => self.race(connection).await,
            _ => {
                self.questions += 1;
                let key = question_key(self.number, self.questions);
                self.ask(connection, key).await
            }
        }
    }

    /// Sends another question with the id of a stored one, which must be rejected.
    async fn reuse_id(&mut self, mut connection: Connection, key: &str) -> Option<Connection> {
        let question = json!({"type": "question", "id": key, "question": "Something else?"});
        let mut reply = self.request(&mut connection, &question).await?;
        while is_unrelated(&reply) {
            reply = self.receive(&mut connection, None).await?;
        }
        if !REUSED_ID_ERRORS.iter().any(|code| reply["code"] == *code) {
            let detail = format!("{key}: {} {}", reply["type"], reply["code"]);
            self.report(&Violation::new("an id belongs to one text", detail));
        }
        self.handle_rejection(&reply);
        Some(connection)
    }

    async fn request_history(&mut self, mut connection: Connection) -> Option<Connection> {
        let reply = self.request(&mut connection, &json!({"type": "history"})).await?;
        self.run.count("actions", "history");
        if reply["type"] == "error" {
            self.handle_rejection(&reply);
        }
        Some(connection)
    }

    /// Sends a frame and receives the next one.
    async fn request(&mut self, connection: &mut Connection, frame: &Value) -> Option<Value> {
        if !connection.send(frame).await {
            return None;
        }
        self.receive(connection, None).await
    }
}

/// Returns whether a frame may precede the reply to a question: a notice of the shutdown, or the
/// reply to a `cancel` or `history` sent during the previous answer.
fn is_unrelated(frame: &Value) -> bool {
    frame["type"] == "notice" || frame["type"] == "history" || frame["code"] == "NO_SUCH_TURN"
}
