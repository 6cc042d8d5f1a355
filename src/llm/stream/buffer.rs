//! The text of an answer, delta by delta, and what a subscriber reads at its position. A plain
//! value.

use std::sync::Arc;
use std::time::Instant;

use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::failure::Failure;
use crate::domain::turn::{AnswerMode, Usage};
use crate::llm::stream::cursor::{ReadCursor, ReadEvent, StreamPosition};
use crate::llm::stream::outcome::{Acceptance, Outcome};
use crate::llm::stream::snapshot::{AnswerSnapshot, ClosedAnswer, OpenRequest, UsedRequest};
use crate::persistence::records::StoredTurn;
use crate::tokens::pieces;

/// The maximum size of one delta. Larger pieces from upstream are split, so that no frame is large
/// and the buffers of a connection, which never shrink, stay small.
const MAX_DELTA_BYTES: usize = 2 * 1024;

/// The maximum size of the text that a subscriber reads at once.
const MAX_READ_BYTES: usize = 8 * 1024;

/// The maximum size of an answer. Answers of upstream servers that ignore the token limit are cut
/// off here.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The buffer of one answer. It holds the text of the current attempt only; the text of voided
/// attempts is discarded.
#[derive(Debug)]
pub(crate) struct StreamBuffer {
    mode: AnswerMode,
    acceptance: Option<Result<Acceptance, Failure>>,
    /// The queue position, while the question waits for the model.
    queue_position: Option<usize>,
    /// The upstream's id of the response.
    upstream_id: Option<Arc<str>>,
    /// The number of attempts whose text was discarded. A position of an earlier attempt is void.
    attempt: u32,
    /// Whether the next text starts another attempt.
    restart_pending: bool,
    text: String,
    /// The end of each delta in `text`; delta `n` (from 1) ends at `ends[n - 1]`.
    ends: Vec<usize>,
    first_text_at: Option<Instant>,
    /// The number of requests sent so far.
    request_count: u32,
    /// The request of the current attempt, until it is voided.
    request: Option<OpenRequest>,
    voided: VoidedAttempts,
    /// Why no more text is accepted.
    closed: Option<CloseCause>,
    /// The text that was generated but not yet shown when the visitor cancelled the answer.
    unseen: String,
    outcome: Option<Arc<Outcome>>,
}

/// The attempts whose text was discarded.
#[derive(Debug, Default)]
struct VoidedAttempts {
    /// The largest number of deltas of one of these attempts.
    max_seq: u64,
    /// The requests that used something, at most one per retry.
    requests: Vec<UsedRequest>,
}

/// Why a buffer accepts no more text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseCause {
    /// The visitor cancelled the answer.
    Cancelled,
    /// The writer has finished.
    Finished,
}

impl StreamBuffer {
    pub(crate) fn new(mode: AnswerMode) -> Self {
        Self {
            mode,
            acceptance: None,
            queue_position: None,
            upstream_id: None,
            attempt: 0,
            restart_pending: false,
            text: String::new(),
            ends: Vec::new(),
            first_text_at: None,
            request_count: 0,
            request: None,
            voided: VoidedAttempts::default(),
            closed: None,
            unseen: String::new(),
            outcome: None,
        }
    }

    /// Rebuilds the buffer of a stored turn. Without `ends` the text is divided into deltas of
    /// arbitrary length.
    pub(crate) fn from_stored(turn: &StoredTurn, ends: Option<Vec<usize>>) -> Self {
        let text = turn.answer.as_ref().map_or("", |answer| &answer.content).to_owned();
        let ends = ends.unwrap_or_else(|| piece_ends(&text));
        let outcome = Outcome::from_stored(turn).map(Arc::new);
        Self {
            acceptance: Some(Ok(Acceptance { durable: true })),
            text,
            ends,
            closed: outcome.as_ref().map(|_| CloseCause::Finished),
            outcome,
            ..Self::new(turn.mode.unwrap_or(AnswerMode::Live))
        }
    }

    pub(crate) fn mode(&self) -> AnswerMode {
        self.mode
    }

    pub(crate) fn set_mode(&mut self, mode: AnswerMode) {
        if self.text.is_empty() {
            self.mode = mode;
        }
    }

    pub(crate) fn set_acceptance(&mut self, acceptance: Result<Acceptance, Failure>) {
        self.acceptance.get_or_insert(acceptance);
    }

    pub(crate) fn is_question_durable(&self) -> bool {
        matches!(self.acceptance, Some(Ok(Acceptance { durable: true })))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.acceptance, Some(Err(_)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.outcome.is_some() || self.is_refused()
    }

    pub(crate) fn set_queue_position(&mut self, position: Option<usize>) {
        self.queue_position = position;
    }

    pub(crate) fn upstream_id(&self) -> Option<Arc<str>> {
        self.upstream_id.clone()
    }

    pub(crate) fn set_upstream_id(&mut self, id: Option<Arc<str>>) {
        self.upstream_id = id;
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn first_text_at(&self) -> Option<Instant> {
        self.first_text_at
    }

    /// Returns the number of the last delta, or 0 if there is none.
    pub(crate) fn last_seq(&self) -> u64 {
        u64::try_from(self.ends.len()).unwrap_or(u64::MAX)
    }

    /// Appends non-empty text. Text that arrives after the buffer was closed is ignored. Returns
    /// `false`, without taking the text, if the answer would exceed [`MAX_ANSWER_BYTES`].
    pub(crate) fn append(&mut self, text: &str) -> bool {
        if self.closed.is_some() {
            return true;
        }
        self.discard_if_restarted();
        if self.text.len() + text.len() > MAX_ANSWER_BYTES {
            return false;
        }
        self.first_text_at.get_or_insert_with(Instant::now);
        if let Some(request) = &mut self.request {
            request.has_text = true;
        }
        for piece in pieces(text, MAX_DELTA_BYTES) {
            self.text.push_str(piece);
            self.ends.push(self.text.len());
        }
        true
    }

    /// Starts another attempt with the next text.
    pub(crate) fn restart(&mut self) {
        self.restart_pending = true;
    }

    /// Discards the text of the current attempt at once.
    pub(crate) fn take_back(&mut self) {
        if self.closed.is_none() {
            self.restart_pending = true;
            self.discard_if_restarted();
            if let Some(request) = &mut self.request {
                request.has_text = false;
            }
        }
    }

    fn discard_if_restarted(&mut self) {
        if !std::mem::take(&mut self.restart_pending) || self.text.is_empty() {
            return;
        }
        self.voided.max_seq = self.voided.max_seq.max(self.last_seq());
        self.attempt += 1;
        self.text.clear();
        self.ends.clear();
    }

    /// Records that a request is sent, whose prompt has this many tokens by our own count.
    pub(crate) fn open_request(&mut self, prompt_tokens: u32) {
        self.request_count = self.request_count.saturating_add(1);
        self.request = Some(OpenRequest { prompt_tokens, thinking_bytes: 0, has_text: false });
    }

    /// Returns the number of requests sent so far.
    pub(crate) fn request_count(&self) -> u32 {
        self.request_count
    }

    pub(crate) fn request(&self) -> Option<OpenRequest> {
        self.request
    }

    /// Records that the current request generated this many bytes of thinking. Returns whether
    /// these are its first.
    pub(crate) fn add_thinking(&mut self, bytes: usize) -> bool {
        let Some(request) = &mut self.request else { return false };
        let is_first = request.thinking_bytes == 0;
        request.thinking_bytes = request.thinking_bytes.saturating_add(bytes);
        is_first && bytes > 0
    }

    /// Records what the current request used and that its text is about to be replaced.
    pub(crate) fn void_request(&mut self, usage: Usage) {
        let upstream_id = self.upstream_id.take();
        if self.request.take().is_some() && usage != Usage::default() {
            self.voided.requests.push(UsedRequest { upstream_id, usage });
        }
    }

    pub(crate) fn voided_requests(&self) -> &[UsedRequest] {
        &self.voided.requests
    }

    /// Returns the position after delta `seq` as shown by a client, or `None` if `seq` may belong
    /// to a voided attempt.
    pub(crate) fn position_after(&self, seq: u64) -> Option<StreamPosition> {
        let is_current = seq == 0 || (seq > self.voided.max_seq && seq <= self.last_seq());
        is_current.then(|| self.position_at(seq))
    }

    /// Returns the position after delta `seq` of the current attempt.
    pub(crate) fn position_at(&self, seq: u64) -> StreamPosition {
        StreamPosition::new(self.attempt, seq)
    }

    /// Returns what follows `cursor`, or `None` if there is nothing yet.
    pub(crate) fn read(&self, cursor: &ReadCursor) -> Option<ReadEvent> {
        match (&self.acceptance, cursor.acceptance_known) {
            // A refusal is reported even to subscribers that assumed the question was accepted.
            (Some(acceptance @ Err(_)), _) | (Some(acceptance), false) => {
                return Some(ReadEvent::Acceptance(*acceptance));
            }
            (Some(Ok(_)), true) => {}
            (None, _) => return None,
        }
        let is_at_start = cursor.position.seq() == 0;
        if is_at_start && self.has_thinking() && cursor.thinking_request != self.request_count {
            return Some(ReadEvent::Thinking(self.request_count));
        }
        if let Some(event) = self.read_text(cursor.position) {
            return Some(event);
        }
        match (&self.outcome, self.queue_position) {
            (Some(outcome), _) => Some(ReadEvent::Outcome(Arc::clone(outcome))),
            (None, Some(position)) if cursor.queue_position != Some(position) => {
                Some(ReadEvent::QueuePosition(position))
            }
            (None, _) => None,
        }
    }

    /// Returns whether the model thinks, or did so before its text.
    fn has_thinking(&self) -> bool {
        let is_cancelled = self.closed == Some(CloseCause::Cancelled);
        !is_cancelled && self.request.is_some_and(|request| request.thinking_bytes > 0)
    }

    fn read_text(&self, position: StreamPosition) -> Option<ReadEvent> {
        if position.attempt() == self.attempt {
            return self.text_after(position.seq());
        }
        // A subscriber that has read no text has nothing to take back.
        if position.seq() > 0 { Some(ReadEvent::Reset(self.position_at(0))) } else { self.text_after(0) }
    }

    /// Returns the text after delta `seq`: at least one delta, and further ones up to
    /// [`MAX_READ_BYTES`].
    fn text_after(&self, seq: u64) -> Option<ReadEvent> {
        let read = usize::try_from(seq).ok()?;
        let start = match read.checked_sub(1) {
            None => 0,
            Some(last) => *self.ends.get(last)?,
        };
        let unread = self.ends.get(read..)?;
        let first = *unread.first()?;
        let count = unread.partition_point(|end| *end <= start + MAX_READ_BYTES).max(1);
        let end = unread.get(count - 1).copied().unwrap_or(first);
        let text = self.text.get(start..end)?.to_owned();
        let position = self.position_at(u64::try_from(read + count).ok()?);
        Some(ReadEvent::Text { position, text, has_more: count < unread.len() })
    }

    pub(crate) fn snapshot(&self) -> AnswerSnapshot {
        // Once an attempt was voided, or is about to be, the number of a delta is ambiguous.
        let is_only_attempt = self.attempt == 0 && !self.restart_pending;
        let offsets = is_only_attempt.then(|| DeltaOffsets::from_ends(&self.ends));
        AnswerSnapshot { text: self.text.as_str().into(), offsets }
    }

    /// Closes the buffer for the visitor and removes the text after delta `seen_seq`. All text is
    /// kept without `seen_seq`, or if that delta may belong to a voided attempt.
    pub(crate) fn cancel(&mut self, seen_seq: Option<u64>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(CloseCause::Cancelled);
        if let Some(seq) = seen_seq {
            self.truncate_after(seq);
        }
    }

    fn truncate_after(&mut self, seq: u64) {
        let kept = usize::try_from(seq).unwrap_or(usize::MAX);
        if kept >= self.ends.len() || (seq > 0 && seq <= self.voided.max_seq) {
            return;
        }
        self.ends.truncate(kept);
        let end = self.ends.last().copied().unwrap_or(0);
        self.unseen = self.text.split_off(end.min(self.text.len()));
    }

    pub(crate) fn close(&mut self) -> ClosedAnswer {
        let cause = *self.closed.get_or_insert(CloseCause::Finished);
        ClosedAnswer {
            snapshot: self.snapshot(),
            is_cancelled: cause == CloseCause::Cancelled,
            unseen: std::mem::take(&mut self.unseen),
            request: self.request,
        }
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) {
        self.closed.get_or_insert(CloseCause::Finished);
        self.outcome.get_or_insert_with(|| Arc::new(outcome));
    }

    /// Appends the text that a stored turn has beyond the buffer. Returns `false`, without taking
    /// any text, if the stored answer does not continue the buffer or has no delta offsets.
    pub(crate) fn catch_up(&mut self, turn: &StoredTurn) -> bool {
        let Some(answer) = &turn.answer else { return self.text.is_empty() };
        let Some(ends) = turn.delta_ends() else { return false };
        if self.closed.is_some() {
            return true;
        }
        let (Some(new_text), Some(new_ends)) =
            (answer.content.strip_prefix(self.text.as_str()), ends.strip_prefix(self.ends.as_slice()))
        else {
            return false;
        };
        self.text.push_str(new_text);
        self.ends.extend_from_slice(new_ends);
        true
    }
}

fn piece_ends(text: &str) -> Vec<usize> {
    let mut end = 0;
    let ends = pieces(text, MAX_DELTA_BYTES).map(|piece| {
        end += piece.len();
        end
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client: shows what it reads, and resumes after what it has shown.
    struct Client {
        shown: String,
        seq: u64,
        position: StreamPosition,
    }

    impl Client {
        fn read(&mut self, buffer: &StreamBuffer) -> bool {
            match buffer.read_text(self.position) {
                Some(ReadEvent::Text { position, text, .. }) => {
                    self.shown.push_str(&text);
                    (self.position, self.seq) = (position, position.seq());
                    true
                }
                Some(ReadEvent::Reset(position)) => {
                    self.shown.clear();
                    (self.position, self.seq) = (position, 0);
                    true
                }
                Some(
                    ReadEvent::Acceptance(_)
                    | ReadEvent::QueuePosition(_)
                    | ReadEvent::Thinking(_)
                    | ReadEvent::Outcome(_),
                )
                | None => false,
            }
        }

        fn resume(&mut self, buffer: &StreamBuffer) {
            match buffer.position_after(self.seq) {
                // `recovered: true`: the client continues from what it has.
                Some(position) => self.position = position,
                None => {
                    self.shown.clear();
                    (self.position, self.seq) = (buffer.position_at(0), 0);
                }
            }
        }
    }

    #[test]
    fn text_is_kept_until_the_next_attempt_has_text() {
        let mut buffer = StreamBuffer::new(AnswerMode::Live);
        buffer.append("old");
        buffer.restart();
        assert_eq!((buffer.text(), buffer.attempt), ("old", 0));
        buffer.append("new");
        buffer.append("er");
        assert_eq!((buffer.text(), buffer.attempt), ("newer", 1));
    }

    #[test]
    fn thinking_is_read_once_before_the_text_of_an_attempt() {
        let mut buffer = StreamBuffer::new(AnswerMode::Live);
        buffer.set_acceptance(Ok(Acceptance { durable: true }));
        let mut cursor = ReadCursor {
            position: StreamPosition::new(0, 0),
            acceptance_known: true,
            queue_position: None,
            thinking_request: 0,
        };
        let mut read = |buffer: &StreamBuffer| match buffer.read(&cursor) {
            Some(ReadEvent::Thinking(request)) => {
                cursor.thinking_request = request;
                "thinking".to_owned()
            }
            Some(ReadEvent::Text { position, text, .. }) => {
                cursor.position = position;
                text
            }
            Some(ReadEvent::Reset(position)) => {
                cursor.position = position;
                "reset".to_owned()
            }
            other => format!("{other:?}"),
        };
        assert!(!buffer.add_thinking(3), "no request was sent");
        buffer.open_request(1);
        assert_eq!(read(&buffer), "None");
        assert!(buffer.add_thinking(3) && !buffer.add_thinking(3));
        assert_eq!([read(&buffer), read(&buffer)], ["thinking", "None"]);
        buffer.append("a");
        assert_eq!([read(&buffer), read(&buffer)], ["a", "None"]);
        buffer.void_request(Usage::from_own_count(1, 1));
        buffer.restart();
        buffer.open_request(1);
        buffer.add_thinking(3);
        assert_eq!(read(&buffer), "None");
        buffer.append("b");
        assert_eq!([read(&buffer), read(&buffer), read(&buffer)], ["reset", "thinking", "b"]);
        assert_eq!(
            buffer.close().request,
            Some(OpenRequest { prompt_tokens: 1, thinking_bytes: 3, has_text: true })
        );
    }

    #[test]
    fn cursor_that_may_belong_to_a_voided_attempt_is_void() {
        let mut buffer = StreamBuffer::new(AnswerMode::Live);
        for piece in ["a", "b"] {
            buffer.append(piece);
        }
        buffer.restart();
        for piece in ["c", "d", "e"] {
            buffer.append(piece);
        }
        let is_valid: Vec<bool> = (0..5).map(|seq| buffer.position_after(seq).is_some()).collect();
        assert_eq!(is_valid, [true, false, false, true, false]);
    }

    proptest! {
        /// In every order of events, a client that is up to date shows exactly the answer: no gap,
        /// no duplicate, no text of a voided attempt.
        #[test]
        fn up_to_date_client_shows_exactly_the_answer(steps in prop::collection::vec(0_u8..6, 0..80)) {
            let mut buffer = StreamBuffer::new(AnswerMode::Live);
            let mut client = Client { shown: String::new(), seq: 0, position: StreamPosition::new(0, 0) };
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let piece = format!("{number} ");
                        prop_assert!(buffer.append(&piece));
                    }
                    2 => buffer.restart(),
                    3 | 4 => drop(client.read(&buffer)),
                    _ => client.resume(&buffer),
                }
            }
            while client.read(&buffer) {}
            prop_assert_eq!(client.shown.as_str(), buffer.text());
        }
    }
}
