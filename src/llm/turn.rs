//! The task that carries one question through: stored, answered, stored again, told.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join;
use slog::{Logger, error, info, warn};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::asking;
use super::choice::Sources;
use super::generation::{Acceptance, Failure, Generation, Outcome};
use super::messages::AskModel;
use super::source::{Finish, SourceError};
use crate::clock::Timestamp;
use crate::mailbox::{AskError, Post};
use crate::persistence::messages::{AnswerRecord, SaveAnswer, SaveQuestion};
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{AnswerMode, TurnStatus, Usage};
use crate::telemetry::metrics::{Metrics, Presence};
use crate::tokens::TokenCounter;

/// How often an unfinished answer is saved, so that a crash costs at most this much of it.
const PARTIAL_INTERVAL: Duration = Duration::from_secs(3);

/// What every answer needs; shared by all of them.
pub(super) struct Answering {
    pub(super) sources: Arc<Sources>,
    pub(super) max_retries: u32,
    /// How long all tries together may take to the first word.
    pub(super) first_word_timeout: Duration,
    pub(super) save_question: Post<SaveQuestion>,
    pub(super) save_answer: Post<SaveAnswer>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) counter: TokenCounter,
    /// How long an answer goes on with nobody listening.
    pub(super) reconnect_grace: Duration,
    /// One permit for each answer that may be under way at once.
    pub(super) permits: Arc<Semaphore>,
    /// Questions that were admitted and whose task has not ended.
    pub(super) under_way: AtomicUsize,
    /// How long the newest answer of a model took to its first word; 0 when there was none.
    pub(super) first_word_ms: AtomicU64,
    /// Ends every answer as interrupted.
    pub(super) leave: CancellationToken,
}

/// Why the source was left.
enum Ending {
    Finished(Finish),
    Failed(SourceError),
    Cancelled,
    Abandoned,
    Leaving,
}

/// The stages of one turn.
struct Stopwatch {
    started: Instant,
    /// How long the question waited for its turn to be asked, once it was.
    asked_after: Cell<Option<Duration>>,
}

impl Answering {
    /// Runs the whole life of `generation`. Whatever happens, its log is ended.
    pub(super) async fn carry_through(
        self: Arc<Self>,
        ask: AskModel,
        generation: Arc<Generation>,
        _place: Place,
    ) {
        let log = ask.log.clone();
        let attempt = AssertUnwindSafe(self.attempt(ask, &generation)).catch_unwind().await;
        if attempt.is_err() {
            error!(log, "the task of an answer panicked");
            generation.settle_question(Err(ErrorCode::InternalError.into()));
            let outcome = Outcome {
                status: TurnStatus::Failed,
                failure: Some(ErrorCode::InternalError.into()),
                usage: Usage::default(),
                answer_tokens: 0,
                model: None,
                citations: Vec::new(),
                durable: false,
            };
            generation.finish(outcome);
        }
    }

    async fn attempt(&self, ask: AskModel, generation: &Arc<Generation>) {
        let watch = Stopwatch { started: Instant::now(), asked_after: Cell::new(None) };
        // Handed to the store before anything is asked upstream, so no answer can be stored ahead of its question.
        let question = SaveQuestion {
            turn_id: ask.turn_id,
            session_id: ask.session_id,
            epoch: ask.epoch,
            client_id: ask.client_id.clone(),
            question: Arc::clone(&ask.prompt.question),
            tokens: ask.question_tokens,
            asked_at: ask.asked_at,
        };
        let stored = self.save_question.ask(question, PATIENCE);
        let accept = async {
            let acceptance = match stored.await {
                Ok(Ok(())) => Ok(Acceptance { durable: true }),
                Ok(Err(error)) => Err(question_failure(&error)),
                Err(AskError::Closed) => Err(ErrorCode::StorageUnavailable.into()),
                // The write stays in the store's buffer and is committed when the database is back.
                Err(AskError::Timeout) => Ok(Acceptance { durable: false }),
            };
            generation.settle_question(acceptance.clone());
            acceptance
        };
        let drive = async { Ok(self.drive(&ask, generation, &watch).await) };
        match try_join(accept, drive).await {
            Ok((_, ending)) => self.conclude(&ask, generation, ending, &watch).await,
            Err(failure) => info!(ask.log, "question refused"; "code" => ?failure.code),
        }
    }

    async fn drive(&self, ask: &AskModel, generation: &Arc<Generation>, watch: &Stopwatch) -> Ending {
        let answer = async {
            // Quotes cost nothing, so nobody waits for them.
            let model = self.sources.mode(Instant::now().into_std()) == AnswerMode::Live;
            let _permit = if model { Some(self.permit().await) } else { None };
            watch.asked_after.set(Some(watch.started.elapsed()));
            asking::answer(self, ask, generation).await
        };
        tokio::select! {
            biased;
            () = generation.cancelled() => Ending::Cancelled,
            () = self.leave.cancelled() => Ending::Leaving,
            answered = answer => match answered {
                Ok(finish) => Ending::Finished(finish),
                Err(error) => Ending::Failed(error),
            },
            () = generation.abandoned(self.reconnect_grace) => Ending::Abandoned,
            never = self.save_partials(ask, generation, &ask.log) => match never {},
        }
    }

    /// Waits for a turn to ask the model.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Presence::in_gauge(&self.metrics.upstream.questions_waiting);
        self.permits.acquire().await.ok()
    }

    /// Saves what there is every few seconds, for ever.
    async fn save_partials(&self, ask: &AskModel, generation: &Generation, log: &Logger) -> Infallible {
        let mut ticks = interval_at(Instant::now() + PARTIAL_INTERVAL, PARTIAL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = (0, 0);
        loop {
            ticks.tick().await;
            let extent = generation.extent();
            if extent != saved && !generation.is_empty() {
                // After a crash this is the answer, and takes its place in prompts by its length.
                let tokens = self.counter.count(&generation.text());
                let record =
                    self.record(ask, generation, TurnStatus::Answering, tokens, Usage::default(), None);
                match self.save_answer.tell(SaveAnswer(record)) {
                    Ok(()) => saved = extent,
                    Err(error) => warn!(log, "an unfinished answer could not be saved"; "error" => %error),
                }
            }
        }
    }

    async fn conclude(
        &self,
        ask: &AskModel,
        generation: &Arc<Generation>,
        ending: Ending,
        watch: &Stopwatch,
    ) {
        let (status, finish, failure) = match ending {
            Ending::Finished(finish) => (finish.status, Some(finish), None),
            Ending::Cancelled => (TurnStatus::Cancelled, None, None),
            Ending::Abandoned | Ending::Leaving => (TurnStatus::Interrupted, None, None),
            Ending::Failed(error) => {
                warn!(ask.log, "the answer failed"; "code" => ?error.failure.code, "cause" => %error);
                (TurnStatus::Failed, None, Some(error.failure))
            }
        };
        let answer_tokens = self.counter.count(&generation.text());
        let (usage, model, citations) = match finish {
            Some(finish) => (finish.usage, finish.model, finish.citations),
            None => (None, None, Vec::new()),
        };
        // A source that failed before its first word charges nothing.
        let nothing = failure.is_some() && answer_tokens == 0;
        let usage = if nothing {
            Usage::default()
        } else {
            usage.unwrap_or_else(|| counted_usage(ask, generation.mode(), answer_tokens))
        };
        let record = self.record(ask, generation, status, answer_tokens, usage, model.clone());
        let handed_over = Instant::now();
        let durable = match self.save_answer.ask(SaveAnswer(record), PATIENCE).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                error!(ask.log, "the answer could not be stored"; "cause" => %error);
                false
            }
            Err(_) => {
                warn!(ask.log, "the store did not confirm the answer in time");
                false
            }
        };
        let (total, stored) = (watch.started.elapsed(), handed_over.elapsed());
        let first_word = generation.first_word_at().map(|at| at.duration_since(watch.started.into_std()));
        let (counted, mode) = (&self.metrics.answer, generation.mode());
        counted.ended(status, mode, &usage);
        counted.duration_seconds.observe(total.as_secs_f64());
        if let Some(first_word) = first_word {
            counted.first_word_seconds.observe(first_word.as_secs_f64());
            if mode == AnswerMode::Live {
                self.first_word_ms.store(millis(first_word).max(1), Ordering::Relaxed);
            }
        }
        info!(ask.log, "turn ended"; "status" => status.as_str(), "mode" => mode.as_str(),
            "source_id" => generation.source_id().as_deref(),
            "prompt_tokens" => usage.prompt_tokens, "completion_tokens" => usage.completion_tokens,
            "queued_ms" => watch.asked_after.get().map(millis), "first_word_ms" => first_word.map(millis),
            "store_ms" => millis(stored), "total_ms" => millis(total), "durable" => durable);
        generation.finish(Outcome { status, failure, usage, answer_tokens, model, citations, durable });
    }

    fn record(
        &self,
        ask: &AskModel,
        generation: &Generation,
        status: TurnStatus,
        tokens: u32,
        usage: Usage,
        model: Option<Arc<str>>,
    ) -> AnswerRecord {
        AnswerRecord {
            turn_id: ask.turn_id,
            answer: generation.text(),
            tokens,
            status,
            mode: generation.mode(),
            model,
            usage,
            at: Timestamp::now(),
        }
    }
}

/// What an answer took when its source does not say: our own count of a model's, nothing for a quote.
fn counted_usage(ask: &AskModel, mode: AnswerMode, answer_tokens: u32) -> Usage {
    match mode {
        AnswerMode::Live => {
            Usage { prompt_tokens: ask.prompt.tokens, completion_tokens: answer_tokens, cost: None }
        }
        AnswerMode::Excerpts => Usage::default(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn question_failure(error: &StorageError) -> Failure {
    match error {
        StorageError::DuplicateQuestion => ErrorCode::DuplicateId.into(),
        StorageError::Superseded => ErrorCode::SessionNotFound.into(),
        StorageError::BufferFull => ErrorCode::StorageUnavailable.into(),
        StorageError::Rejected(_) | StorageError::Unclear(_) | StorageError::Unavailable(_) => {
            ErrorCode::StorageUnavailable.into()
        }
    }
}

/// A place among the questions under way, given up when dropped.
pub(super) struct Place(Arc<Answering>);

impl Place {
    /// Takes a place if fewer than `most` are taken.
    pub(super) fn take(answering: &Arc<Answering>, most: usize) -> Option<Self> {
        let count = &answering.under_way;
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(answering)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
