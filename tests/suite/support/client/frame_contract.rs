//! The wire contract that every server frame must satisfy, checked on all frames of all clients.

use std::collections::HashSet;

use serde_json::Value;

/// The required fields of each frame type. A dot separates the levels of nested objects.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "session",
        &[
            "session_id",
            "resume_token",
            "expires_at",
            "resumed",
            "recovered",
            "limits.max_question_chars",
            "limits.requests_per_minute",
            "limits.remaining",
            "limits.max_context_tokens",
            "limits.max_response_tokens",
            "resume.name",
            "resume.revision",
            "suggestions",
            "mode",
            "link_hosts",
            "request_id",
        ],
    ),
    ("accepted", &["turn_id", "remaining", "durable", "duplicate"]),
    ("queued", &["turn_id", "position"]),
    ("thinking", &["turn_id"]),
    ("delta", &["turn_id", "seq", "text"]),
    ("reset", &["turn_id"]),
    (
        "done",
        &[
            "turn_id",
            "status",
            "mode",
            "usage.prompt_tokens",
            "usage.completion_tokens",
            "citations",
            "durable",
            "remaining",
        ],
    ),
    ("notice", &["code", "message"]),
    ("error", &["code", "message", "retryable", "request_id"]),
    ("history", &["messages", "more"]),
    ("feedback_saved", &[]),
    ("forgotten", &[]),
    ("pong", &[]),
];

/// The allowed values of `done.status`.
const STATUSES: &[&str] = &["complete", "length", "cancelled", "interrupted", "failed"];

/// Checks the frames of one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    /// The current turn and its last `seq`.
    turn: Option<(String, u64)>,
    /// Turns whose `done` has been received.
    finished: HashSet<String>,
    /// A turn whose `error` has been received, so that its `done` must follow immediately.
    failed: Option<String>,
}

impl Contract {
    /// Checks the next frame.
    pub(crate) fn check(&mut self, frame: &Value) -> Result<(), String> {
        let text = |field: &str| frame.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = text("type");
        let Some((_, fields)) = FIELDS.iter().find(|(name, _)| *name == kind) else {
            return Err(format!("unknown frame type {kind:?}"));
        };
        for field in *fields {
            if frame.pointer(&format!("/{}", field.replace('.', "/"))).is_none() {
                return Err(format!("{kind} without {field}"));
            }
        }
        let turn = text("turn_id");
        if let Some(failed) = self.failed.take() {
            let is_its_done = kind == "done" && turn == failed && text("status") == "failed";
            require(is_its_done, || {
                format!("turn {failed} failed, but its done did not follow immediately")
            })?;
        }
        match kind.as_str() {
            // After a resume the server may repeat how a turn ended.
            "session" => *self = Self::default(),
            "accepted" => {
                self.finished.remove(&turn);
                self.turn = Some((turn, 0));
            }
            "reset" => {
                require(!self.finished.contains(&turn), || format!("reset of turn {turn} after its done"))?;
                self.turn = Some((turn, 0));
            }
            // A sign of thinking comes before the first word, and holds no text.
            "thinking" => {
                require(!self.finished.contains(&turn), || {
                    format!("thinking of turn {turn} after its done")
                })?;
                let is_first = self.turn.as_ref().is_none_or(|(current, seq)| *current == turn && *seq == 0);
                require(is_first, || format!("thinking of turn {turn} after a delta"))?;
                let fields = frame.as_object().map_or(0, serde_json::Map::len);
                require(fields == 2, || format!("thinking with more than its turn: {frame}"))?;
            }
            "delta" => self.delta(turn, frame.get("seq").and_then(Value::as_u64).unwrap_or(0))?,
            // Another question may be rejected during this turn.
            "error" if self.is_current(&turn) && text("code") != "TURN_IN_PROGRESS" => {
                self.failed = Some(turn)
            }
            "done" => {
                let status = text("status");
                require(STATUSES.contains(&status.as_str()), || format!("unknown status {status:?}"))?;
                require(self.finished.insert(turn.clone()), || format!("second done of turn {turn}"))?;
                if self.is_current(&turn) {
                    self.turn = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_current(&self, turn: &str) -> bool {
        self.turn.as_ref().is_some_and(|(current, _)| current == turn)
    }

    fn delta(&mut self, turn: String, seq: u64) -> Result<(), String> {
        require(!self.finished.contains(&turn), || format!("delta of turn {turn} after its done"))?;
        match &self.turn {
            Some((current, last)) => {
                require(*current == turn, || format!("delta of turn {turn} during turn {current}"))?;
                require(seq > *last, || format!("seq {seq} after {last}"))?;
            }
            None => require(seq > 0, || "seq does not start at 1".to_owned())?,
        }
        self.turn = Some((turn, seq));
        Ok(())
    }
}

fn require(condition: bool, violation: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(violation()) }
}
