//! One subscriber of an answer, as a stream that keeps its own position.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use crate::domain::failure::Failure;
use crate::llm::stream::cursor::{ReadCursor, ReadEvent, StreamPosition};
use crate::llm::stream::generation::Generation;
use crate::llm::stream::outcome::{Acceptance, Outcome};

/// What a session reads of an answer, in order: one acceptance, queue positions while the question
/// waits, one sign of thinking before the text of an attempt, deltas and possibly resets, one outcome.
/// Nothing follows a refusal.
#[derive(Debug)]
pub enum AnswerProgress {
    /// The question was accepted.
    Accepted(Acceptance),
    /// The question was refused; there is no answer.
    Refused(Failure),
    /// The question waits at this position of the queue, counted from 1.
    Queued(usize),
    /// The model thinks before its text.
    Thinking,
    /// More text of the answer.
    Delta(Delta),
    /// The text so far is void; the answer starts again.
    Reset,
    /// The answer has ended.
    Ended(Arc<Outcome>),
}

/// Text of an answer: one or more deltas of the buffer.
#[derive(Debug)]
pub struct Delta {
    /// The number of the last delta in `text`.
    pub seq: u64,
    pub text: String,
    /// Whether the text was in the buffer before the client resumed.
    pub replay: bool,
}

/// The [`AnswerProgress`] of a generation from one position on. The generation counts it as a
/// subscriber until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    generation: Arc<Generation>,
    cursor: ReadCursor,
    /// Deltas up to this number are marked as replay.
    replay_until: u64,
    has_ended: bool,
    /// More text is available, but the next poll reads it, so that a single poll adds little to the
    /// buffer of the socket.
    is_paused: bool,
}

impl Subscription {
    /// Subscribes to `generation` after delta `seq` of the current attempt; 0 is the start.
    #[must_use]
    pub fn new(generation: &Arc<Generation>, seq: u64) -> Self {
        Self::from_position(generation, generation.position_at(seq))
    }

    /// Subscribes to `generation` after `position`. If that position has become void meanwhile, the
    /// first text is preceded by a reset.
    #[must_use]
    pub fn from_position(generation: &Arc<Generation>, position: StreamPosition) -> Self {
        generation.add_subscriber();
        Self {
            generation: Arc::clone(generation),
            cursor: ReadCursor {
                position,
                acceptance_known: false,
                queue_position: None,
                thinking_request: 0,
            },
            replay_until: 0,
            has_ended: false,
            is_paused: false,
        }
    }

    /// Marks the text that is already in the buffer as replay, for a client that resumes.
    #[must_use]
    pub fn with_replay(mut self) -> Self {
        self.replay_until = self.generation.last_seq();
        // The thinking before that text is over.
        if self.replay_until > 0 {
            self.cursor.thinking_request = self.generation.request_count();
        }
        self
    }

    /// Skips the acceptance, for a client that has already received it.
    #[must_use]
    pub fn without_acceptance(mut self) -> Self {
        self.cursor.acceptance_known = true;
        self
    }

    fn on_event(&mut self, event: ReadEvent) -> AnswerProgress {
        match event {
            ReadEvent::Acceptance(Ok(acceptance)) => {
                self.cursor.acceptance_known = true;
                AnswerProgress::Accepted(acceptance)
            }
            ReadEvent::Acceptance(Err(failure)) => {
                self.has_ended = true;
                AnswerProgress::Refused(failure)
            }
            ReadEvent::QueuePosition(position) => {
                self.cursor.queue_position = Some(position);
                AnswerProgress::Queued(position)
            }
            ReadEvent::Thinking(request) => {
                self.cursor.thinking_request = request;
                AnswerProgress::Thinking
            }
            ReadEvent::Text { position, text, has_more } => {
                self.cursor.position = position;
                self.is_paused = has_more;
                let seq = position.seq();
                AnswerProgress::Delta(Delta { seq, text, replay: seq <= self.replay_until })
            }
            ReadEvent::Reset(position) => {
                self.cursor.position = position;
                self.replay_until = 0;
                AnswerProgress::Reset
            }
            ReadEvent::Outcome(outcome) => {
                self.has_ended = true;
                AnswerProgress::Ended(outcome)
            }
        }
    }
}

impl Stream for Subscription {
    type Item = AnswerProgress;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AnswerProgress>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.is_paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let event = ready!(self.generation.poll_read(&self.cursor, cx));
        Poll::Ready(Some(self.on_event(event)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.generation.remove_subscriber();
    }
}
