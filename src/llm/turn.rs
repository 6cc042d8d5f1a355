//! The task that carries one question through: stored, answered, stored again, told.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Recipient;
use futures_util::FutureExt;
use futures_util::future::try_join;
use slog::{Logger, error, info, warn};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::generation::{Acceptance, Failure, Generation, Outcome};
use super::messages::AskModel;
use super::source::{AnswerSource, Finish, SourceError};
use crate::clock::Timestamp;
use crate::persistence::messages::{AnswerRecord, SaveAnswer, SaveQuestion};
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{TurnStatus, Usage};
use crate::tokens::TokenCounter;

/// How often an unfinished answer is saved, so that a crash costs at most this much of it.
const PARTIAL_INTERVAL: Duration = Duration::from_secs(3);

/// What every answer needs; shared by all of them.
pub(super) struct Answering {
    pub(super) source: AnswerSource,
    pub(super) save_question: Recipient<SaveQuestion>,
    pub(super) save_answer: Recipient<SaveAnswer>,
    pub(super) counter: TokenCounter,
    /// How long an answer goes on with nobody listening.
    pub(super) reconnect_grace: Duration,
    /// One permit for each answer that may be under way at once.
    pub(super) permits: Arc<Semaphore>,
    /// Questions that were admitted and whose task has not ended.
    pub(super) under_way: AtomicUsize,
    pub(super) failures_in_a_row: AtomicU32,
    /// When the last of them was, in milliseconds since 1970.
    pub(super) last_failed_at: AtomicI64,
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
        let started = Instant::now();
        // Handed to the store before anything is asked upstream, so no answer can be stored ahead of its question.
        let stored = self.save_question.send(SaveQuestion {
            turn_id: ask.turn_id,
            session_id: ask.session_id,
            epoch: ask.epoch,
            client_id: ask.client_id.clone(),
            question: Arc::clone(&ask.prompt.question),
            tokens: ask.question_tokens,
            asked_at: ask.asked_at,
        });
        let accept = async {
            let acceptance = match timeout(PATIENCE, stored).await {
                Ok(Ok(Ok(()))) => Ok(Acceptance { durable: true }),
                Ok(Ok(Err(error))) => Err(question_failure(&error)),
                Ok(Err(_)) => Err(ErrorCode::StorageUnavailable.into()),
                // The write stays in the store's buffer and is committed when the database is back.
                Err(_) => Ok(Acceptance { durable: false }),
            };
            generation.settle_question(acceptance.clone());
            acceptance
        };
        let drive = async { Ok(self.drive(&ask, generation, &ask.log).await) };
        match try_join(accept, drive).await {
            Ok((_, ending)) => self.conclude(&ask, generation, ending, started).await,
            Err(failure) => info!(ask.log, "question refused"; "code" => ?failure.code),
        }
    }

    async fn drive(&self, ask: &AskModel, generation: &Arc<Generation>, log: &Logger) -> Ending {
        let answer = async {
            let _permit = self.permits.acquire().await;
            self.source.answer(&ask.prompt, generation).await
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
            never = self.save_partials(ask, generation, log) => match never {},
        }
    }

    /// Saves what there is every few seconds, for ever.
    async fn save_partials(&self, ask: &AskModel, generation: &Generation, log: &Logger) -> Infallible {
        let mut ticks = interval_at(Instant::now() + PARTIAL_INTERVAL, PARTIAL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = 0;
        loop {
            ticks.tick().await;
            let length = generation.len();
            if length > saved {
                // After a crash this is the answer, and takes its place in prompts by its length.
                let tokens = self.counter.count(&generation.text());
                let record =
                    self.record(ask, generation, TurnStatus::Answering, tokens, Usage::default(), None);
                match self.save_answer.try_send(SaveAnswer(record)) {
                    Ok(()) => saved = length,
                    Err(error) => warn!(log, "an unfinished answer could not be saved"; "error" => %error),
                }
            }
        }
    }

    async fn conclude(&self, ask: &AskModel, generation: &Arc<Generation>, ending: Ending, started: Instant) {
        let (status, finish, failure) = match ending {
            Ending::Finished(finish) => (finish.status, Some(finish), None),
            Ending::Cancelled => (TurnStatus::Cancelled, None, None),
            Ending::Abandoned | Ending::Leaving => (TurnStatus::Interrupted, None, None),
            Ending::Failed(error) => {
                warn!(ask.log, "the answer failed"; "code" => ?error.failure.code, "cause" => %error);
                (TurnStatus::Failed, None, Some(error.failure))
            }
        };
        if failure.is_some() {
            self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
            self.last_failed_at.store(Timestamp::now().0, Ordering::Relaxed);
        } else if finish.is_some() {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
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
            usage.unwrap_or_else(|| self.counted_usage(ask, answer_tokens))
        };
        let record = self.record(ask, generation, status, answer_tokens, usage, model.clone());
        let durable = match timeout(PATIENCE, self.save_answer.send(SaveAnswer(record))).await {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(error))) => {
                error!(ask.log, "the answer could not be stored"; "cause" => %error);
                false
            }
            Ok(Err(_)) | Err(_) => {
                warn!(ask.log, "the store did not confirm the answer in time");
                false
            }
        };
        info!(ask.log, "turn ended"; "status" => status.as_str(), "mode" => generation.mode.as_str(),
            "prompt_tokens" => usage.prompt_tokens, "completion_tokens" => usage.completion_tokens,
            "duration_ms" => u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "durable" => durable);
        generation.finish(Outcome { status, failure, usage, answer_tokens, model, citations, durable });
    }

    /// What an answer took when its source does not say: our own count of a model's, nothing for a quote.
    fn counted_usage(&self, ask: &AskModel, answer_tokens: u32) -> Usage {
        match &self.source {
            AnswerSource::Upstream(_) => {
                Usage { prompt_tokens: ask.prompt.tokens, completion_tokens: answer_tokens, cost: None }
            }
            AnswerSource::Excerpts(_) => Usage::default(),
        }
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
            mode: generation.mode,
            model,
            usage,
            at: Timestamp::now(),
        }
    }
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
