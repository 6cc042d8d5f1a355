//! The shared handle of an answer that is being generated or has ended.
//!
//! The turn's task appends text. Each subscriber keeps its own position and reads from there when
//! its socket can take more. Tokens do not pass through mailboxes, a slow client reads fewer and
//! larger pieces, and a client that resumes subscribes from an earlier position.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::failure::Failure;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, Usage};
use crate::llm::stream::buffer::StreamBuffer;
use crate::llm::stream::cursor::{ReadCursor, ReadEvent, StreamPosition};
use crate::llm::stream::outcome::{Acceptance, Outcome};
use crate::llm::stream::snapshot::{AnswerSnapshot, ClosedAnswer, OpenRequest, UsedRequest};
use crate::persistence::records::StoredTurn;

/// The maximum length of an upstream id, as it is kept for the log.
const MAX_UPSTREAM_ID_CHARS: usize = 64;

/// An answer that is being generated or has ended, shared by the task that writes it and the
/// sessions that show it.
#[derive(Debug)]
pub struct Generation {
    pub turn_id: TurnId,
    /// The session that asked; no other session may read the answer.
    pub session_id: SessionId,
    /// The client's own id of the question.
    pub client_id: Option<String>,
    state: Mutex<State>,
    cancelled: CancellationToken,
    subscribers: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    buffer: StreamBuffer,
    /// The tasks to wake at the next change.
    wakers: Vec<Waker>,
}

impl State {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Generation {
    /// Returns a generation without text. `mode` is what is expected to produce the answer.
    #[must_use]
    pub fn new(
        turn_id: TurnId,
        session_id: SessionId,
        client_id: Option<String>,
        mode: AnswerMode,
    ) -> Arc<Self> {
        Self::with_buffer(turn_id, session_id, client_id, StreamBuffer::new(mode))
    }

    /// Rebuilds the generation of a stored turn whose deltas end at `ends`. Without `ends` the text
    /// is divided into deltas of arbitrary length. The generation has ended unless the turn's
    /// status is `Answering`.
    #[must_use]
    pub fn from_stored(session_id: SessionId, turn: &StoredTurn, ends: Option<Vec<usize>>) -> Arc<Self> {
        let buffer = StreamBuffer::from_stored(turn, ends);
        Self::with_buffer(turn.turn_id, session_id, turn.client_id.clone(), buffer)
    }

    fn with_buffer(
        turn_id: TurnId,
        session_id: SessionId,
        client_id: Option<String>,
        buffer: StreamBuffer,
    ) -> Arc<Self> {
        Arc::new(Self {
            turn_id,
            session_id,
            client_id,
            state: Mutex::new(State { buffer, wakers: Vec::new() }),
            cancelled: CancellationToken::new(),
            subscribers: watch::Sender::new(0),
        })
    }

    /// Records whether the question was accepted. Text is shown only after that. Only the first
    /// call has an effect.
    pub fn set_acceptance(&self, acceptance: Result<Acceptance, Failure>) {
        self.update(|buffer| buffer.set_acceptance(acceptance));
    }

    /// Appends text to the answer. Returns `false`, without taking the text, if the answer would
    /// exceed [`MAX_ANSWER_BYTES`](super::buffer::MAX_ANSWER_BYTES). Text that arrives after the
    /// visitor cancelled the answer is ignored. NUL characters are removed, because PostgreSQL
    /// cannot store them.
    pub fn append(&self, text: &str) -> bool {
        let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) };
        if text.is_empty() {
            return true;
        }
        self.update(|buffer| buffer.append(&text))
    }

    /// Starts another attempt at the answer. The text of the attempt before is kept until the first
    /// text of the new one arrives.
    pub fn restart(&self) {
        self.lock().buffer.restart();
    }

    /// Discards the text of the current attempt, which turned out to be thinking.
    pub fn take_back(&self) {
        self.update(StreamBuffer::take_back);
    }

    /// Records the upstream's id of the response.
    pub fn set_upstream_id(&self, id: &str) {
        let id: String = id.chars().take(MAX_UPSTREAM_ID_CHARS).collect();
        self.lock().buffer.set_upstream_id(Some(id.into()));
    }

    /// Returns the upstream's id of the response, if known.
    #[must_use]
    pub fn upstream_id(&self) -> Option<Arc<str>> {
        self.lock().buffer.upstream_id()
    }

    /// Records that a request is sent, whose prompt has this many tokens by our own count.
    pub fn open_request(&self, prompt_tokens: u32) {
        self.lock().buffer.open_request(prompt_tokens);
    }

    /// Returns the number of requests sent so far.
    #[must_use]
    pub fn request_count(&self) -> u32 {
        self.lock().buffer.request_count()
    }

    /// Returns the request whose usage is not recorded yet, if there is one.
    #[must_use]
    pub fn request(&self) -> Option<OpenRequest> {
        self.lock().buffer.request()
    }

    /// Records that the model generated this many bytes of thinking. Only the first of a request
    /// wake the subscribers.
    pub fn add_thinking(&self, bytes: usize) {
        let is_first = self.lock().buffer.add_thinking(bytes);
        if is_first {
            self.update(|_| ());
        }
    }

    /// Records what the current request used and that its text is about to be replaced. Forgets the
    /// upstream's id of its response. Has no effect on the usage if the request was voided before.
    pub fn void_request(&self, usage: Usage) {
        self.lock().buffer.void_request(usage);
    }

    /// Returns the voided requests that used something, at most one per retry.
    #[must_use]
    pub fn voided_requests(&self) -> Vec<UsedRequest> {
        self.lock().buffer.voided_requests().to_vec()
    }

    /// Returns the position after delta `seq` as shown by a client, or `None` if `seq` may belong
    /// to a voided attempt.
    #[must_use]
    pub fn position_after(&self, seq: u64) -> Option<StreamPosition> {
        self.lock().buffer.position_after(seq)
    }

    /// Returns the position after delta `seq` of the current attempt.
    #[must_use]
    pub fn position_at(&self, seq: u64) -> StreamPosition {
        self.lock().buffer.position_at(seq)
    }

    /// Returns what produces the answer. Final once there is text.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.lock().buffer.mode()
    }

    /// Sets what produces the answer. Has no effect once there is text, because the text was shown
    /// with its mode.
    pub fn set_mode(&self, mode: AnswerMode) {
        self.lock().buffer.set_mode(mode);
    }

    /// Sets the queue position, counted from 1; `None` once the question left the queue.
    pub fn set_queue_position(&self, position: Option<usize>) {
        self.update(|buffer| buffer.set_queue_position(position));
    }

    /// Ends the answer. Only the first call has an effect.
    pub fn finish(&self, outcome: Outcome) {
        self.update(|buffer| buffer.finish(outcome));
    }

    /// Closes the answer for more text. From then on it can no longer be cancelled.
    #[must_use]
    pub fn close(&self) -> ClosedAnswer {
        self.update(StreamBuffer::close)
    }

    /// Appends the text that a stored turn has beyond this answer. Returns `false`, without taking
    /// any text, if the stored answer does not continue this one or has no delta offsets.
    pub fn catch_up(&self, turn: &StoredTurn) -> bool {
        self.update(|buffer| buffer.catch_up(turn))
    }

    #[must_use]
    pub fn snapshot(&self) -> AnswerSnapshot {
        self.lock().buffer.snapshot()
    }

    #[must_use]
    pub fn text(&self) -> Arc<str> {
        self.lock().buffer.text().into()
    }

    /// Returns when the first text arrived.
    #[must_use]
    pub fn first_text_at(&self) -> Option<Instant> {
        self.lock().buffer.first_text_at()
    }

    /// Returns the length of the answer in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().buffer.text().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the question is committed to the store.
    #[must_use]
    pub fn is_question_durable(&self) -> bool {
        self.lock().buffer.is_question_durable()
    }

    /// Returns whether the question was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.lock().buffer.is_refused()
    }

    /// Returns whether the answer has ended or the question was refused.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lock().buffer.is_over()
    }

    /// Waits until the answer has ended or the question is refused.
    pub async fn wait_until_over(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.buffer.is_over() { Poll::Ready(()) } else { state.wait(cx) }
        })
        .await;
    }

    /// Returns the number of the last delta, or 0 if there is no text.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.lock().buffer.last_seq()
    }

    /// Cancels the answer. Removes the text after delta `seen_seq`, the last one the visitor has
    /// seen; without `seen_seq` all text is kept. Has no effect once the answer is closed.
    pub fn cancel(&self, seen_seq: Option<u64>) {
        self.update(|buffer| buffer.cancel(seen_seq));
        self.cancelled.cancel();
    }

    /// Waits until [`Self::cancel`] is called.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Waits until the answer has had no subscriber for `grace`.
    pub async fn abandoned(&self, grace: Duration) {
        let mut subscribers = self.subscribers.subscribe();
        loop {
            if subscribers.wait_for(|count| *count == 0).await.is_err() {
                return std::future::pending().await;
            }
            let returned = subscribers.wait_for(|count| *count > 0);
            if tokio::time::timeout(grace, returned).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn add_subscriber(&self) {
        self.subscribers.send_modify(|count| *count += 1);
    }

    pub(super) fn remove_subscriber(&self) {
        self.subscribers.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Reads what follows `cursor`, or registers the task to be woken at the next change.
    pub(super) fn poll_read(&self, cursor: &ReadCursor, cx: &Context<'_>) -> Poll<ReadEvent> {
        let mut state = self.lock();
        match state.buffer.read(cursor) {
            Some(event) => Poll::Ready(event),
            None => state.wait(cx),
        }
    }

    /// Changes the buffer and wakes the waiting subscribers.
    fn update<R>(&self, change: impl FnOnce(&mut StreamBuffer) -> R) -> R {
        let (result, wakers) = {
            let mut state = self.lock();
            (change(&mut state.buffer), std::mem::take(&mut state.wakers))
        };
        for waker in wakers {
            waker.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves the buffer consistent: every change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
