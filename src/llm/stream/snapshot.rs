//! The answer as it is stored.

use std::sync::Arc;

use crate::domain::delta_offsets::DeltaOffsets;

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
}
