//! A subscriber's position in an answer and what it reads there.

use std::sync::Arc;

use crate::domain::failure::Failure;
use crate::llm::stream::outcome::{Acceptance, Outcome};

/// A position in an answer: after a delta of one attempt at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    attempt: u32,
    seq: u64,
}

impl StreamPosition {
    pub(crate) fn new(attempt: u32, seq: u64) -> Self {
        Self { attempt, seq }
    }

    pub(crate) fn attempt(self) -> u32 {
        self.attempt
    }

    /// Returns the number of the delta before the position; 0 means the start of the answer.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.seq
    }
}

/// What a subscriber has read so far.
#[derive(Clone, Copy, Debug)]
pub struct ReadCursor {
    /// The position up to which the text was read.
    pub position: StreamPosition,
    /// Whether the acceptance was read.
    pub acceptance_known: bool,
    /// The queue position that was read last.
    pub queue_position: Option<usize>,
    /// The number of the last request whose thinking was read; 0 if there is none.
    pub thinking_request: u32,
}

/// What a subscriber reads next.
#[derive(Debug)]
pub enum ReadEvent {
    /// The question was accepted or refused.
    Acceptance(Result<Acceptance, Failure>),
    /// The question waits at this position of the queue, counted from 1.
    QueuePosition(usize),
    /// The model thinks in the request with this number, before its text.
    Thinking(u32),
    Text {
        /// The position after `text`.
        position: StreamPosition,
        /// One or more deltas.
        text: String,
        /// Whether the buffer holds more text after `position`.
        has_more: bool,
    },
    /// The text read so far is void; the answer starts again at this position.
    Reset(StreamPosition),
    /// The answer has ended and all of its text was read.
    Outcome(Arc<Outcome>),
}
