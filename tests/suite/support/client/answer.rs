//! What a client has received: a session it can resume, and a complete answer.

use serde_json::{Value, json};

/// The session id and resume token that a client needs to resume a session.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    /// The session id.
    pub(crate) session_id: String,
    /// Authorizes resuming the session.
    pub(crate) resume_token: String,
    /// The whole `session` frame.
    pub(crate) frame: Value,
}

/// All frames of one turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The text of all deltas.
    pub(crate) text: String,
    /// The `delta` frames since the last `reset`.
    pub(crate) deltas: Vec<Value>,
    /// Their sequence numbers.
    pub(crate) seqs: Vec<u64>,
    /// The `accepted` frame, or null if the client received the answer after a resume.
    pub(crate) accepted: Value,
    /// The `done` frame.
    pub(crate) done: Value,
    /// The `error` frame of a failed turn, otherwise null.
    pub(crate) error: Value,
    /// All other frames in order, such as `session`, `queued`, `notice` and `reset`.
    pub(crate) other_frames: Vec<Value>,
}

impl Answer {
    /// Adds the next frame. Returns whether it is the last one. A rejected question fails the test.
    pub(crate) fn add(&mut self, frame: Value) -> bool {
        match frame.get("type").and_then(Value::as_str).unwrap_or_default() {
            "done" => {
                self.done = frame;
                return true;
            }
            "accepted" => self.accepted = frame,
            "delta" => {
                self.text.push_str(frame.get("text").and_then(Value::as_str).unwrap_or_default());
                self.seqs.extend(frame.get("seq").and_then(Value::as_u64));
                self.deltas.push(frame);
            }
            "reset" => {
                (self.text, self.deltas, self.seqs) = Default::default();
                self.other_frames.push(frame);
            }
            "error" => {
                let busy = frame.get("code") == Some(&json!("TURN_IN_PROGRESS"));
                let has_turn = frame.get("turn_id").is_some_and(|turn| !turn.is_null());
                assert!(has_turn && !busy, "the question was rejected: {frame}");
                self.error = frame;
            }
            _ => self.other_frames.push(frame),
        }
        false
    }

    /// Returns the id of the turn.
    pub(crate) fn turn_id(&self) -> &str {
        self.done.get("turn_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the status in the `done` frame.
    pub(crate) fn status(&self) -> &str {
        self.done.get("status").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Returns the cursor of a client that has displayed everything up to this delta.
pub(crate) fn cursor_at(delta: &Value) -> Value {
    json!({"turn_id": delta.get("turn_id"), "seq": delta.get("seq")})
}

impl SessionInfo {
    /// Reads a `session` frame.
    pub(crate) fn from_frame(frame: Value) -> Self {
        let text = |field: &str| match frame.get(field).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => panic!("session frame without {field}: {frame}"),
        };
        Self { session_id: text("session_id"), resume_token: text("resume_token"), frame: frame.clone() }
    }
}

/// Returns the `content` of each message of a history.
pub(crate) fn contents(messages: &Value) -> Vec<&str> {
    messages.as_array().into_iter().flatten().filter_map(|message| message["content"].as_str()).collect()
}
