//! What every frame of the server must keep to, checked on all that any client hears.

use std::collections::HashSet;

use serde_json::Value;

/// The fields that each type of frame always has; the last part of a dotted one is inside the object before it.
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
            "request_id",
        ],
    ),
    ("accepted", &["turn_id", "remaining", "durable", "duplicate"]),
    ("queued", &["turn_id", "position"]),
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

/// What `done.status` may be.
const STATUSES: &[&str] = &["complete", "length", "cancelled", "interrupted", "failed"];

/// Follows one connection and objects to the first frame that breaks the contract.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    /// The turn that is being answered, and the last seq of it.
    turn: Option<(String, u64)>,
    /// Turns that had their `done`.
    finished: HashSet<String>,
    /// The turn whose `error` must be followed by its `done`.
    failed: Option<String>,
}

impl Contract {
    /// Takes in the next frame.
    pub(crate) fn check(&mut self, frame: &Value) -> Result<(), String> {
        let text = |field: &str| frame.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = text("type");
        let Some((_, fields)) = FIELDS.iter().find(|(name, _)| *name == kind) else {
            return Err(format!("there is no type {kind:?}"));
        };
        for field in *fields {
            if frame.pointer(&format!("/{}", field.replace('.', "/"))).is_none() {
                return Err(format!("{kind} without {field}"));
            }
        }
        let turn = text("turn_id");
        if let Some(failed) = self.failed.take() {
            let its_end = kind == "done" && turn == failed && text("status") == "failed";
            require(its_end, || format!("turn {failed} failed, and its done did not come right after"))?;
        }
        match kind.as_str() {
            // A resumed conversation may tell again how a turn ended.
            "session" => *self = Self::default(),
            "accepted" => {
                self.finished.remove(&turn);
                self.turn = Some((turn, 0));
            }
            "reset" => {
                require(!self.finished.contains(&turn), || format!("turn {turn} is reset after its done"))?;
                self.turn = Some((turn, 0));
            }
            "delta" => self.delta(turn, frame.get("seq").and_then(Value::as_u64).unwrap_or(0))?,
            // Another question may be refused while this turn goes on.
            "error" if self.is_current(&turn) && text("code") != "TURN_IN_PROGRESS" => {
                self.failed = Some(turn)
            }
            "done" => {
                let status = text("status");
                require(STATUSES.contains(&status.as_str()), || format!("there is no status {status:?}"))?;
                require(self.finished.insert(turn.clone()), || format!("turn {turn} has two dones"))?;
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
        require(!self.finished.contains(&turn), || format!("turn {turn} goes on after its done"))?;
        match &self.turn {
            Some((current, last)) => {
                require(*current == turn, || format!("a delta of turn {turn} inside turn {current}"))?;
                require(seq > *last, || format!("seq {seq} after {last}"))?;
            }
            None => require(seq > 0, || "seq counts from 1".to_owned())?,
        }
        self.turn = Some((turn, seq));
        Ok(())
    }
}

fn require(kept: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if kept { Ok(()) } else { Err(otherwise()) }
}
