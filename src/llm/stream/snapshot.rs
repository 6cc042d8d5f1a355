//! The answer as it is stored, and the requests that it took.

use std::sync::Arc;

use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::turn::Usage;

/// The text of an answer so far.
#[derive(Clone, Debug)]
pub struct AnswerSnapshot {
    pub text: Arc<str>,
    /// The offsets of the deltas in `text`. `None` once an attempt was voided, because a client may
    /// hold a cursor of that attempt.
    pub offsets: Option<DeltaOffsets>,
}

/// An answer that accepts no more text.
#[derive(Clone, Debug)]
pub struct ClosedAnswer {
    pub snapshot: AnswerSnapshot,
    /// Whether the visitor cancelled the answer.
    pub is_cancelled: bool,
    /// The text that was generated but not yet shown when the visitor cancelled the answer. It is
    /// not part of the snapshot.
    pub unseen: String,
    /// The request whose usage is not recorded yet, if there is one.
    pub request: Option<OpenRequest>,
}

/// A request to the model that was sent and has not been voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// The tokens of its prompt by our own count.
    pub prompt_tokens: u32,
    /// The bytes of thinking that it generated.
    pub thinking_bytes: usize,
    /// Whether it generated text. Otherwise the text of the answer, if any, is that of a voided
    /// attempt.
    pub has_text: bool,
}

/// A request that has ended, and what it used.
#[derive(Clone, Debug)]
pub struct UsedRequest {
    /// The upstream's id of the response, if known.
    pub upstream_id: Option<Arc<str>>,
    pub usage: Usage,
}

impl UsedRequest {
    /// Returns whether upstream has reported neither all tokens nor the cost.
    #[must_use]
    pub fn is_unreported(&self) -> bool {
        self.usage.is_estimated() && self.usage.cost.is_none()
    }
}
