//! The text of an answer in the making, delta by delta, and what a reader finds at its place in it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::domain::failure::Failure;
use crate::domain::turn::{AnswerMode, Usage};
use crate::llm::stream::generation::{Acceptance, Outcome};
use crate::tokens::pieces;

/// Most bytes of one delta. Upstream pieces that are larger are split, so that no frame is large and the buffers of a
/// connection, which never shrink, stay small.
const MAX_DELTA_BYTES: usize = 2 * 1024;

/// Most bytes handed to a subscriber at once.
const MAX_PULL_BYTES: usize = 8 * 1024;

/// Most bytes of one answer. Servers that ignore the token limit are cut off here.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The log itself. What is void is gone; what follows a void attempt is another.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) mode: AnswerMode,
    /// Counts the attempts at the answer of which a word was kept: what a reader has of an earlier one is void.
    pub(crate) attempt: u32,
    /// The next word begins another attempt.
    pub(crate) starting_over: bool,
    /// The most deltas that any void attempt had.
    void_seq: u64,
    /// What void attempts took, which may be charged.
    pub(crate) void_usage: Usage,
    /// The source's names of void attempts, each with its part of that.
    pub(crate) void_requests: Vec<(Arc<str>, Usage)>,
    /// What the source calls the answer.
    pub(crate) source_id: Option<Arc<str>>,
    pub(crate) acceptance: Option<Result<Acceptance, Failure>>,
    pub(crate) text: String,
    /// The end of each delta in `text`; delta `n` (from 1) ends at `ends[n - 1]`.
    pub(crate) ends: Vec<usize>,
    pub(crate) outcome: Option<Arc<Outcome>>,
    /// Nothing more is taken: the visitor stopped the answer, or its writer has come to its end.
    pub(crate) stopped: Option<Stopped>,
    /// What was said, but not shown when the visitor stopped the answer.
    pub(crate) unseen: String,
    /// The position in the line to the model, while it waits there.
    pub(crate) position: Option<usize>,
    pub(crate) waiting: Vec<Waker>,
    pub(crate) first_word_at: Option<Instant>,
}

/// Why nothing more is taken into a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    ByVisitor,
    AtItsEnd,
}

/// A reader's place in a log: after a delta of one attempt at the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    attempt: u32,
    seq: u64,
}

impl Place {
    /// Before the first delta of an attempt.
    pub(crate) fn new(attempt: u32, seq: u64) -> Self {
        Self { attempt, seq }
    }

    /// The delta it is after; 0: before the first.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.seq
    }
}

/// What a subscriber finds at its place in the log.
#[derive(Debug)]
pub enum Reading {
    /// The question was taken, or not.
    Acceptance(Result<Acceptance, Failure>),
    /// So many are answered before it, and itself.
    Position(usize),
    /// Text after the place.
    Text {
        /// After the last delta in `text`.
        place: Place,
        /// One or more deltas.
        text: String,
        /// Whether there is more than was handed out.
        more: bool,
    },
    /// What was read before is void; the answer begins again here.
    Reset(Place),
    /// There is no more.
    Outcome(Arc<Outcome>),
}

impl Log {
    pub(crate) fn new(mode: AnswerMode) -> Self {
        Self {
            mode,
            attempt: 0,
            starting_over: false,
            void_seq: 0,
            void_usage: Usage::default(),
            void_requests: Vec::new(),
            source_id: None,
            acceptance: None,
            text: String::new(),
            ends: Vec::new(),
            outcome: None,
            stopped: None,
            unseen: String::new(),
            position: None,
            waiting: Vec::new(),
            first_word_at: None,
        }
    }

    /// Takes a piece, which is not empty, unless nothing more is taken; false when it does not fit any more.
    pub(crate) fn append(&mut self, text: &str) -> bool {
        if self.stopped.is_some() {
            return true;
        }
        self.void_if_starting_over();
        if self.text.len() + text.len() > MAX_ANSWER_BYTES {
            return false;
        }
        self.first_word_at.get_or_insert_with(Instant::now);
        for piece in pieces(text, MAX_DELTA_BYTES) {
            self.text.push_str(piece);
            self.ends.push(self.text.len());
        }
        true
    }

    /// Where a client is that has shown delta `seq`, if that can be told.
    pub(crate) fn place_after(&self, seq: u64) -> Option<Place> {
        let is_there = seq == 0 || (seq > self.void_seq && seq <= self.last_seq());
        is_there.then_some(Place { attempt: self.attempt, seq })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.outcome.is_some() || matches!(self.acceptance, Some(Err(_)))
    }

    /// What there is after a place; `None` when there is nothing yet.
    pub(crate) fn after(&self, place: Place) -> Option<Reading> {
        if place.attempt == self.attempt {
            return self.text_after(place.seq);
        }
        let beginning = Place { attempt: self.attempt, seq: 0 };
        // Whoever has seen nothing has nothing to take back.
        if place.seq > 0 { Some(Reading::Reset(beginning)) } else { self.text_after(0) }
    }

    /// The text after delta `seq`, at most [`MAX_PULL_BYTES`] of it but at least one delta, and where it ends.
    fn text_after(&self, seq: u64) -> Option<Reading> {
        let shown = usize::try_from(seq).ok()?;
        let start = match shown.checked_sub(1) {
            None => 0,
            Some(last) => *self.ends.get(last)?,
        };
        let unseen = self.ends.get(shown..)?;
        let first = *unseen.first()?;
        let count = unseen.partition_point(|end| *end <= start + MAX_PULL_BYTES).max(1);
        let end = unseen.get(count - 1).copied().unwrap_or(first);
        let text = self.text.get(start..end)?.to_owned();
        let seq = u64::try_from(shown + count).ok()?;
        let place = Place { attempt: self.attempt, seq };
        Some(Reading::Text { place, text, more: count < unseen.len() })
    }

    pub(crate) fn last_seq(&self) -> u64 {
        u64::try_from(self.ends.len()).unwrap_or(u64::MAX)
    }

    fn void_if_starting_over(&mut self) {
        if !std::mem::take(&mut self.starting_over) || self.text.is_empty() {
            return;
        }
        self.void_seq = self.void_seq.max(self.last_seq());
        self.attempt += 1;
        self.text.clear();
        self.ends.clear();
    }

    /// Whether a delta has the same number for everybody who ever read here: nothing was said that is void, or is about to be.
    pub(crate) fn is_the_only_attempt(&self) -> bool {
        self.attempt == 0 && !self.starting_over
    }

    /// Takes out what follows delta `seq`. A reader beyond it finds nothing more. All is kept where the delta may be one of a
    /// void attempt: nobody knows then what was seen.
    pub(crate) fn cut_after(&mut self, seq: u64) {
        let kept = usize::try_from(seq).unwrap_or(usize::MAX);
        if kept >= self.ends.len() || (seq > 0 && seq <= self.void_seq) {
            return;
        }
        self.ends.truncate(kept);
        let end = self.ends.last().copied().unwrap_or(0);
        self.unseen = self.text.split_off(end.min(self.text.len()));
    }

    pub(crate) fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client with its connection: shows what it is told, and comes back with what it has shown.
    struct Client {
        shown: String,
        cursor: u64,
        place: Place,
    }

    impl Client {
        fn read(&mut self, log: &Log) -> bool {
            match log.after(self.place) {
                Some(Reading::Text { place, text, .. }) => {
                    self.shown.push_str(&text);
                    (self.place, self.cursor) = (place, place.seq());
                    true
                }
                Some(Reading::Reset(place)) => {
                    self.shown.clear();
                    (self.place, self.cursor) = (place, 0);
                    true
                }
                Some(Reading::Acceptance(_) | Reading::Position(_) | Reading::Outcome(_)) | None => false,
            }
        }

        fn come_back(&mut self, log: &Log) {
            match log.place_after(self.cursor) {
                // `recovered: true`: it goes on from what it has.
                Some(place) => self.place = place,
                None => {
                    self.shown.clear();
                    (self.place, self.cursor) = (Place::new(log.attempt, 0), 0);
                }
            }
        }
    }

    #[test]
    fn words_stay_until_there_are_better_ones() {
        let mut log = Log::new(AnswerMode::Live);
        log.append("old");
        log.starting_over = true;
        assert_eq!((log.text.as_str(), log.attempt), ("old", 0));
        log.append("new");
        log.append("er");
        assert_eq!((log.text.as_str(), log.attempt), ("newer", 1));
    }

    #[test]
    fn a_cursor_that_may_be_of_a_void_attempt_is_void() {
        let mut log = Log::new(AnswerMode::Live);
        for piece in ["a", "b"] {
            log.append(piece);
        }
        log.starting_over = true;
        for piece in ["c", "d", "e"] {
            log.append(piece);
        }
        let places: Vec<bool> = (0..5).map(|seq| log.place_after(seq).is_some()).collect();
        assert_eq!(places, [true, false, false, true, false]);
    }

    proptest! {
        /// Whatever comes in whatever order, a client that is up to date shows the answer and nothing else: no hole, no
        /// word twice, no word of a void attempt.
        #[test]
        fn a_client_that_is_up_to_date_shows_the_answer(steps in prop::collection::vec(0_u8..6, 0..80)) {
            let mut log = Log::new(AnswerMode::Live);
            let mut client = Client { shown: String::new(), cursor: 0, place: Place::new(0, 0) };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let piece = format!("{number} ");
                        prop_assert!(log.append(&piece));
                    }
                    2 => log.starting_over = true,
                    3 | 4 => drop(client.read(&log)),
                    _ => client.come_back(&log),
                }
            }
            while client.read(&log) {}
            prop_assert_eq!(client.shown, log.text);
        }
    }
}
