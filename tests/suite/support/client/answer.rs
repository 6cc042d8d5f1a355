//! What a visitor has heard: a conversation to come back to, a whole answer.

use serde_json::{Value, json};

/// A conversation as its owner may come back to it.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    /// Names the conversation.
    pub(crate) session_id: String,
    /// Proves that it is one's own.
    pub(crate) resume_token: String,
    /// The whole `session` frame.
    pub(crate) frame: Value,
}

/// All that was heard of one turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The deltas put together.
    pub(crate) text: String,
    /// The frames that carry text; emptied by a `reset`.
    pub(crate) deltas: Vec<Value>,
    /// Their sequence numbers.
    pub(crate) seqs: Vec<u64>,
    /// `accepted`, or null when the answer was caught up with after a resume.
    pub(crate) accepted: Value,
    /// `done`.
    pub(crate) done: Value,
    /// The `error` of a turn that failed, else null.
    pub(crate) error: Value,
    /// `session`, `queued`, `notice`, `reset` and such, as they came in between.
    pub(crate) others: Vec<Value>,
}

impl Answer {
    /// The turn's id.
    pub(crate) fn turn_id(&self) -> &str {
        self.done.get("turn_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// How it ended.
    pub(crate) fn status(&self) -> &str {
        self.done.get("status").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The cursor of a client that has shown everything up to this delta.
pub(crate) fn cursor_at(delta: &Value) -> Value {
    json!({"turn_id": delta.get("turn_id"), "seq": delta.get("seq")})
}

impl SessionInfo {
    /// Reads a `session` frame.
    pub(crate) fn of(frame: Value) -> Self {
        let text = |field: &str| match frame.get(field).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => panic!("a session without {field}: {frame}"),
        };
        Self { session_id: text("session_id"), resume_token: text("resume_token"), frame: frame.clone() }
    }
}

/// What the messages of a history say.
pub(crate) fn contents(messages: &Value) -> Vec<&str> {
    messages.as_array().into_iter().flatten().filter_map(|it| it["content"].as_str()).collect()
}
