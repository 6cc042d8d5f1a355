//! The state of a visitor, and the checks of every frame it receives.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::connection::{Connection, Received};
use super::interruption::Interruption;
use crate::oracle::Violation;
use crate::oracle::transcript::{Cursor, Facts, Transcript};
use crate::random::Random;
use crate::run_state::RunState;

/// How long a frame that must arrive may take: longer than every fault and every server timeout.
pub(super) const RECEIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// After this part of the timeout the visitor sends a `ping` to check the connection.
const PING_AFTER: Duration = Duration::from_secs(20);

/// A conversation of a visitor.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The session id.
    pub(crate) id: String,
    /// Authorizes resuming the session.
    pub(crate) resume_token: String,
    /// What the server has sent.
    pub(crate) transcript: Transcript,
    /// The keys of accepted questions.
    pub(super) accepted_keys: Vec<String>,
    /// The key of a question that may or may not have reached the server.
    pub(super) pending_key: Option<String>,
}

/// A visitor, who stays until the end of the run.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// Identifies the visitor in the report and in questions.
    pub(crate) number: usize,
    /// All sessions. The visitor uses the newest one.
    pub(crate) sessions: Vec<Session>,
    pub(super) run: Arc<RunState>,
    pub(super) random: Random,
    /// The number of questions asked.
    pub(super) questions: usize,
    /// Set when the newest session cannot be used any more.
    pub(super) needs_new_session: bool,
    /// The number of data losses when the current connection was opened. Whatever arrives on it was
    /// sent before any later loss.
    pub(super) losses_at_connect: u64,
    /// The interruption chosen for the current question.
    pub(super) interruption: Interruption,
}

/// Whether a connection can be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    Open,
    Ended,
}

impl Visitor {
    /// Creates the visitor with this number.
    pub(crate) fn new(number: usize, run: &Arc<RunState>) -> Self {
        Self {
            number,
            sessions: Vec::new(),
            run: Arc::clone(run),
            random: Random::new(run.seed, &format!("visitor {number}")),
            questions: 0,
            needs_new_session: true,
            losses_at_connect: 0,
            interruption: Interruption::Nothing,
        }
    }

    /// Receives and checks the next frame. Returns `None` if the connection has ended. `cursor` is
    /// the one sent with `resume`, if the frame is the reply to it.
    pub(super) async fn receive(
        &mut self,
        connection: &mut Connection,
        cursor: Option<&Cursor>,
    ) -> Option<Value> {
        let mut received = connection.receive(PING_AFTER).await;
        if matches!(received, Received::Timeout) {
            // Every client does this while it waits, to detect a connection that is gone silently.
            let _ = connection.send(&json!({"type": "ping"})).await;
            received = connection.receive_except_pongs(RECEIVE_TIMEOUT - PING_AFTER).await;
        }
        match received {
            Received::Frame(frame) => {
                self.check(&frame, cursor);
                Some(frame)
            }
            Received::Closed(code) => {
                self.run.count("closes", &code.map_or("without a code".to_owned(), |code| code.to_string()));
                None
            }
            Received::Timeout => {
                let (activity, position) = (connection.describe_activity(), self.describe_position());
                let detail = format!("{activity}; {position}; {:?}", self.interruption);
                self.report(&Violation::new("an expected frame arrives", detail));
                None
            }
        }
    }

    /// Receives frames until no answer is in progress.
    pub(super) async fn receive_rest(&mut self, connection: &mut Connection) -> ConnectionState {
        while self.is_following_answer() {
            let Some(frame) = self.receive(connection, None).await else { return ConnectionState::Ended };
            if is_rejection(&frame) {
                self.handle_rejection(&frame);
            }
        }
        ConnectionState::Open
    }

    /// Returns whether an answer is in progress on the newest session.
    pub(super) fn is_following_answer(&self) -> bool {
        self.sessions.last().is_some_and(|session| session.transcript.is_following())
    }

    /// Pauses for a random time between these bounds in milliseconds.
    pub(super) async fn pause(&mut self, from_ms: u64, to_ms: u64) {
        sleep(Duration::from_millis(self.random.between(from_ms, to_ms))).await;
    }

    /// Describes what the visitor is waiting for.
    fn describe_position(&self) -> String {
        let describe = |session: &Session| {
            let key = session.transcript.current_key().unwrap_or("nothing").to_owned();
            format!("session {}, following {key}, pending {:?}", session.id, session.pending_key)
        };
        self.sessions.last().map(describe).unwrap_or_default()
    }

    /// Checks a frame against the transcript of the newest session.
    pub(super) fn check(&mut self, frame: &Value, cursor: Option<&Cursor>) {
        let Some(session) = self.sessions.last_mut() else { return };
        let violations =
            check_frame(&self.run, &mut session.transcript, frame, cursor, self.losses_at_connect);
        match frame["type"].as_str().unwrap_or_default() {
            "accepted" => {
                let key = frame["id"].as_str().unwrap_or_default();
                if session.pending_key.as_deref() == Some(key) {
                    session.pending_key = None;
                }
                if !session.accepted_keys.iter().any(|known| known == key) {
                    session.accepted_keys.push(key.to_owned());
                }
            }
            "session" if frame["resumed"] == true => {
                let recovered = if frame["recovered"] == true { "recovered" } else { "not recovered" };
                self.run.count("resumes", recovered);
            }
            _ => {}
        }
        for violation in violations {
            self.report(&violation);
        }
    }

    /// Counts a rejection, and decides whether a new session is needed.
    pub(super) fn handle_rejection(&mut self, frame: &Value) {
        let code = frame["code"].as_str().unwrap_or("no code");
        self.run.count("rejections", code);
        match code {
            "RATE_LIMIT_EXCEEDED" | "BUDGET_EXCEEDED" => self.needs_new_session = true,
            "SESSION_NOT_FOUND" | "SESSION_EXPIRED" => {
                // During an outage of the database only the server process knows a new session.
                let must_exist = |session: &Session| session.transcript.must_exist(self.losses_at_connect);
                if self.sessions.last().is_some_and(must_exist) {
                    let detail = self.describe_position();
                    self.report(&Violation::new("a session that was started is found", detail));
                }
                self.needs_new_session = true;
            }
            _ => {}
        }
    }

    /// Reports a violation on the newest session.
    pub(super) fn report(&self, violation: &Violation) {
        let session = self.sessions.last().map(|session| session.id.as_str()).unwrap_or_default();
        self.run.report(&format!("visitor {} session {session}", self.number), violation);
    }
}

/// Returns whether a frame rejects a request instead of failing a turn.
pub(super) fn is_rejection(frame: &Value) -> bool {
    frame["type"] == "error" && frame.get("turn_id").is_none()
}

/// Checks a frame against a transcript, and counts its content.
pub(super) fn check_frame(
    run: &RunState,
    transcript: &mut Transcript,
    frame: &Value,
    cursor: Option<&Cursor>,
    losses: u64,
) -> Vec<Violation> {
    let planned_words = |key: &str, attempt: usize| run.planned_words(key, attempt);
    let text = |field: &str| frame[field].as_str().unwrap_or_default();
    match text("type") {
        "delta" => run.add("words", "received", text("text").matches(' ').count()),
        "done" => run.count("turns", text("status")),
        "accepted" if frame["durable"] == true => run.record_durable_question(text("id")),
        _ => {}
    }
    transcript.observe(frame, cursor, Facts { planned_words: &planned_words, losses })
}

/// Creates a `resume` frame.
pub(super) fn resume_frame(session: &Session, cursor: Option<&Cursor>) -> Value {
    let (id, token) = (&session.id, &session.resume_token);
    let mut frame = json!({"type": "resume", "session_id": id, "resume_token": token});
    if let Some((turn_id, seq)) = cursor {
        frame["cursor"] = json!({"turn_id": turn_id, "seq": seq});
    }
    frame
}
