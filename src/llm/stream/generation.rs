//! An answer as an append-only log that sessions subscribe to.
//!
//! The task that reads upstream appends; every subscriber keeps its own place and pulls from there when its socket can
//! take more. So no mailbox is crossed per token, a slow reader gets fewer and larger pieces, and coming back after a
//! lost connection is the same subscription from an earlier place.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::failure::Failure;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::llm::stream::buffer::{Log, Stopped};
pub use crate::llm::stream::buffer::{MAX_ANSWER_BYTES, Place, Reading};
pub use crate::llm::stream::snapshot::Said;
pub(in crate::llm) use crate::llm::stream::snapshot::outcome_of;
use crate::llm::stream::subscription::Subscription;

/// Longest name of an answer that a source gives it, as it is logged.
const MAX_SOURCE_ID_CHARS: usize = 64;

/// What became of the question when it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Whether the question is committed to the store.
    pub durable: bool,
}

/// How the answer ended. Told to subscribers when it is stored, or when storing it must be waited for no longer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the turn ended.
    pub status: TurnStatus,
    /// Why, when it failed.
    pub failure: Option<Failure>,
    /// What it took.
    pub usage: Usage,
    /// Tokens of the answer by our own count, as stored.
    pub answer_tokens: u32,
    /// The model that answered.
    pub model: Option<Arc<str>>,
    /// Sections that were quoted.
    pub citations: Vec<String>,
    /// Whether the answer is committed to the store.
    pub durable: bool,
}

/// One answer in the making, or made. Shared between the task that writes it and the sessions that show it.
#[derive(Debug)]
pub struct Generation {
    /// The turn it answers.
    pub turn_id: TurnId,
    /// The session that asked; no other may read it.
    pub session_id: SessionId,
    /// The client's own id of the question.
    pub client_id: Option<String>,
    pub(super) log: Mutex<Log>,
    pub(super) cancelled: CancellationToken,
    pub(super) subscribers: watch::Sender<usize>,
}

impl Generation {
    /// An empty log. `mode` is who will probably answer.
    #[must_use]
    pub fn new(
        turn_id: TurnId,
        session_id: SessionId,
        client_id: Option<String>,
        mode: AnswerMode,
    ) -> Arc<Self> {
        Arc::new(Self {
            turn_id,
            session_id,
            client_id,
            log: Mutex::new(Log::new(mode)),
            cancelled: CancellationToken::new(),
            subscribers: watch::Sender::new(0),
        })
    }

    /// Notes that the question was taken or refused. Text is shown only after that. The first call counts.
    pub fn settle_question(&self, acceptance: Result<Acceptance, Failure>) {
        self.change(|log| {
            log.acceptance.get_or_insert(acceptance);
        });
    }

    /// Appends a piece of the answer. Returns false when the answer has reached [`MAX_ANSWER_BYTES`]; the piece is not
    /// taken then. One that comes after the visitor has stopped the answer is not taken either. NUL characters are left out: PostgreSQL stores no text with one.
    pub fn append(&self, text: &str) -> bool {
        let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) };
        if text.is_empty() {
            return true;
        }
        self.change(|log| log.append(&text))
    }

    /// Begins another attempt: its first word makes void what there is. Until then that stays, in case none comes.
    pub fn start_over(&self) {
        self.lock().starting_over = true;
    }

    /// Notes what the source calls the answer, for the log.
    pub fn note_source_id(&self, id: &str) {
        self.lock().source_id = Some(id.chars().take(MAX_SOURCE_ID_CHARS).collect::<String>().into());
    }

    /// What the source calls the answer.
    #[must_use]
    pub fn source_id(&self) -> Option<Arc<str>> {
        self.lock().source_id.clone()
    }

    /// Notes what an attempt took that will be void: it may be charged all the same.
    pub fn note_void(&self, usage: Usage) {
        let mut log = self.lock();
        let void = &mut log.void_usage;
        void.prompt_tokens = void.prompt_tokens.saturating_add(usage.prompt_tokens);
        void.completion_tokens = void.completion_tokens.saturating_add(usage.completion_tokens);
        if let Some(source_id) = log.source_id.take() {
            log.void_requests.push((source_id, usage));
        }
    }

    /// Forgets what the source called an attempt that it does not charge.
    pub fn forget_source_id(&self) {
        self.lock().source_id = None;
    }

    /// What the source calls the attempts that are void, with what each took by our count; as many as there may be retries.
    #[must_use]
    pub fn void_requests(&self) -> Vec<(Arc<str>, Usage)> {
        self.lock().void_requests.clone()
    }

    /// What void attempts took.
    #[must_use]
    pub fn void_usage(&self) -> Usage {
        self.lock().void_usage
    }

    /// Where a client is that has shown delta `seq`, if that can be told: not when the delta may be one of a void attempt.
    #[must_use]
    pub fn place_after(&self, seq: u64) -> Option<Place> {
        self.lock().place_after(seq)
    }

    /// Who answers; settled when the first delta is there.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.lock().mode
    }

    /// Notes who answers after all. Without effect once there is text: that has been shown under the mode it has.
    pub fn answer_as(&self, mode: AnswerMode) {
        let mut log = self.lock();
        if log.text.is_empty() {
            log.mode = mode;
        }
    }

    /// Notes the position in the line to the model; `None` when its turn has come.
    pub fn wait_at(&self, position: Option<usize>) {
        self.change(|log| log.position = position);
    }

    /// Ends the log. The first call counts.
    pub fn finish(&self, outcome: Outcome) {
        self.change(|log| {
            log.stopped.get_or_insert(Stopped::AtItsEnd);
            log.outcome.get_or_insert_with(|| Arc::new(outcome));
        });
    }

    /// What was answered so far.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        self.lock().text.as_str().into()
    }

    /// When the first word came.
    #[must_use]
    pub fn first_word_at(&self) -> Option<Instant> {
        self.lock().first_word_at
    }

    /// Bytes answered so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().text.len()
    }

    /// Whether nothing was answered so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the question is committed to the store.
    #[must_use]
    pub fn is_question_durable(&self) -> bool {
        matches!(self.lock().acceptance, Some(Ok(Acceptance { durable: true })))
    }

    /// Whether the question was not taken.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.lock().acceptance, Some(Err(_)))
    }

    /// Whether nothing more will come: it has ended, or the question was not taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lock().is_over()
    }

    /// Resolves when nothing more will come.
    pub async fn over(&self) {
        std::future::poll_fn(|cx| {
            let mut log = self.lock();
            if log.is_over() { Poll::Ready(()) } else { log.wait(cx) }
        })
        .await;
    }

    /// The number of the last delta; 0 when there is none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.lock().last_seq()
    }

    /// Asks the task to stop upstream and end the answer as cancelled. What was said after delta `seen_seq`, the last that the
    /// visitor was shown, is taken out again; without it all is kept. Does nothing when the answer has come to its end already.
    pub fn cancel(&self, seen_seq: Option<u64>) {
        self.change(|log| {
            if log.stopped.is_none() {
                log.stopped = Some(Stopped::ByVisitor);
                log.cut_after(seen_seq.unwrap_or(u64::MAX));
            }
        });
        self.cancelled.cancel();
    }

    /// Resolves when [`Self::cancel`] was called.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Resolves when nobody has listened for `grace`.
    pub async fn abandoned(&self, grace: Duration) {
        let mut subscribers = self.subscribers.subscribe();
        loop {
            if subscribers.wait_for(|count| *count == 0).await.is_err() {
                return std::future::pending().await;
            }
            let came_back = subscribers.wait_for(|count| *count > 0);
            if tokio::time::timeout(grace, came_back).await.is_err() {
                return;
            }
        }
    }

    /// Follows the answer from after delta `seq`; 0 is the beginning.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, seq: u64) -> Subscription {
        let attempt = self.lock().attempt;
        self.subscribe_at(Place::new(attempt, seq))
    }

    /// Follows the answer from a place; should that have become void meanwhile, a reset comes first.
    #[must_use]
    pub fn subscribe_at(self: &Arc<Self>, place: Place) -> Subscription {
        self.subscribers.send_modify(|count| *count += 1);
        Subscription::new(Arc::clone(self), place)
    }

    pub(crate) fn unsubscribe(&self) {
        self.subscribers.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// What follows a place. `knows_acceptance` says whether the subscriber was told of the acceptance, `position` of which
    /// position it was told last.
    pub(crate) fn poll_after(
        &self,
        place: Place,
        knows_acceptance: bool,
        position: Option<usize>,
        cx: &Context<'_>,
    ) -> Poll<Reading> {
        let mut log = self.lock();
        match (&log.acceptance, knows_acceptance) {
            // Whoever took it for accepted must hear that there will be no answer, too.
            (Some(acceptance @ Err(_)), _) | (Some(acceptance), false) => {
                return Poll::Ready(Reading::Acceptance(acceptance.clone()));
            }
            (Some(Ok(_)), true) => {}
            (None, _) => return log.wait(cx),
        }
        if let Some(reading) = log.after(place) {
            return Poll::Ready(reading);
        }
        match (&log.outcome, log.position) {
            (Some(outcome), _) => Poll::Ready(Reading::Outcome(Arc::clone(outcome))),
            (None, Some(now)) if position != Some(now) => Poll::Ready(Reading::Position(now)),
            (None, _) => log.wait(cx),
        }
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Log) -> R) -> R {
        let (result, waiting) = {
            let mut log = self.lock();
            (change(&mut log), std::mem::take(&mut log.waiting))
        };
        for waker in waiting {
            waker.wake();
        }
        result
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // A panic elsewhere leaves the log whole: every change is one step.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
