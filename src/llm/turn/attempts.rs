//! Generates one answer: requests it from the model, retries or tries another model, and falls back
//! to resume excerpts.

use std::borrow::Cow;
use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::time::{Instant, sleep, timeout};

use crate::budget::Reservation;
use crate::domain::clock::Timestamp;
use crate::domain::turn::Usage;
use crate::llm::prompt::Prompt;
use crate::llm::resilience::circuit_breaker::OutageCause;
use crate::llm::resilience::refusal_streak::Asker;
use crate::llm::resilience::retry::{FailedAttempt, RetryDecision, RetryPolicy, RetryState};
use crate::llm::router::{Backend, BreakerGuard, Fallback};
use crate::llm::stream::generation::Generation;
use crate::llm::turn::checkpoint::{self, CheckpointResult};
use crate::llm::turn::context::ActiveTurn;
use crate::llm::turn::fallback;
use crate::llm::turn::request_usage::request_usage;
use crate::llm::upstream::client::{CompletionRequest, UpstreamClient};
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::streaming::ignored::IgnoredFields;
use crate::llm::upstream::streaming::sink::AnswerSink;
use crate::persistence::STORE_TIMEOUT;
use crate::system::backoff::random_fraction;
use crate::telemetry::metrics::{DegradedBy, GaugeGuard, Metrics, RetryKind};

/// The attempts at one answer. Dropping the future of [`Self::run`] aborts the request in flight.
pub(crate) struct AttemptLoop<'a> {
    turn: &'a ActiveTurn,
    /// The budget reserved for the answer.
    reservation: Option<&'a Reservation>,
    /// Owned if it was shortened.
    prompt: Cow<'a, Prompt>,
    /// The index of the model of the next attempt.
    model: usize,
    first_text_deadline: Instant,
    /// `None` until an attempt has failed.
    retries: Option<RetryState>,
}

/// Appends the text of an attempt to the generation and reports the first text to the breaker.
struct AttemptSink<'a> {
    generation: &'a Generation,
    log: &'a Logger,
    metrics: &'a Metrics,
    guard: &'a BreakerGuard<'a>,
}

impl AnswerSink for AttemptSink<'_> {
    fn set_upstream_id(&self, id: &str) {
        self.generation.set_upstream_id(id);
    }

    fn append(&self, text: &str) -> bool {
        self.generation.append(text)
    }

    fn on_first_text(&self) {
        self.guard.record_first_text(Instant::now().into_std());
    }

    fn on_thinking(&self, bytes: usize) {
        self.generation.add_thinking(bytes);
    }

    fn take_back(&self) {
        self.generation.take_back();
    }

    fn on_reconnect(&self, cause: &str) {
        self.metrics.upstream.reconnects.inc();
        info!(self.log, "upstream connection was stale, sending the request on a new one"; "connection_error" => cause);
    }

    fn on_lesson(&self, lesson: &str) {
        info!(self.log, "learned the form of requests from the model server"; "lesson" => lesson);
    }
}

impl<'a> AttemptLoop<'a> {
    pub(crate) fn new(turn: &'a ActiveTurn, reservation: Option<&'a Reservation>) -> Self {
        Self {
            turn,
            reservation,
            prompt: Cow::Borrowed(&turn.request.prompt),
            model: 0,
            first_text_deadline: Instant::now() + turn.context.limits.first_text_timeout,
            retries: None,
        }
    }

    /// Generates the answer.
    pub(crate) async fn run(mut self) -> Result<Completion, CompletionError> {
        let router = &self.turn.context.router;
        let asker = Asker { session: self.turn.request.session_id, address: self.turn.request.address };
        let mut last_error = None;
        loop {
            let (client, guard) = match router.select_backend(Instant::now().into_std(), asker) {
                Backend::Model(client, guard) => (client, guard),
                Backend::Fallback(fallback) => return self.without_model(fallback, last_error).await,
            };
            let error = match self.attempt(client, guard).await {
                Ok(completion) => return Ok(completion),
                Err(error) => error,
            };
            // This failure may have opened the breaker.
            let is_breaker_open = router.is_breaker_open(Instant::now().into_std(), asker.address);
            if is_breaker_open || !self.prepare_retry(client, &error).await {
                return self.fall_back(error).await;
            }
            last_error = Some(error);
        }
    }

    /// Sends one request.
    async fn attempt(
        &self,
        client: &UpstreamClient,
        guard: BreakerGuard<'_>,
    ) -> Result<Completion, CompletionError> {
        let _in_flight = GaugeGuard::new(&self.turn.context.metrics.upstream.requests_in_flight);
        let request = CompletionRequest {
            prompt: &self.prompt,
            session: self.turn.request.session_id,
            model: self.model,
            first_text_deadline: self.first_text_deadline,
        };
        self.turn.generation.open_request(self.prompt.tokens);
        let sink = AttemptSink {
            generation: &self.turn.generation,
            log: &self.turn.request.log,
            metrics: &self.turn.context.metrics,
            guard: &guard,
        };
        let result = client.stream(request, &sink).await;
        self.report_ignored(match &result {
            Ok(completion) => &completion.ignored,
            Err(error) => &error.ignored,
        });
        match &result {
            Ok(completion) => {
                guard.record_success(Instant::now().into_std());
                self.observe_prompt(completion);
            }
            Err(error) => {
                if let Some(cause) = guard.record_failure(error, Instant::now().into_std()) {
                    self.log_opened_breaker(&cause, error);
                }
            }
        }
        result
    }

    fn log_opened_breaker(&self, cause: &OutageCause, error: &CompletionError) {
        let log = &self.turn.request.log;
        match cause {
            OutageCause::Failures(count) => {
                warn!(log, "circuit breaker opened"; "reason" => "failures",
                    "failures" => count.failures, "requests" => count.requests,
                    "kind" => error.kind.as_str());
            }
            OutageCause::Refusal(common) => {
                warn!(log, "circuit breaker opened"; "reason" => "refusal", "sessions" => common.sessions,
                    "one_address" => common.address.is_some(), "kind" => error.kind.as_str(),
                    "identity" => common.refusal.identity.as_deref());
            }
        }
    }

    /// Counts and logs the odd fields of a response.
    fn report_ignored(&self, ignored: &IgnoredFields) {
        if ignored.is_empty() {
            return;
        }
        for (field, count) in ignored.counts() {
            self.turn.context.metrics.upstream.count_ignored(field, count);
        }
        warn!(self.turn.request.log, "upstream response has odd fields"; "ignored" => %ignored,
            "finish_reason" => ignored.finish_reason());
    }

    /// Compares the server's count of the prompt with ours. Some servers cut a long prompt silently,
    /// the resume first.
    fn observe_prompt(&self, completion: &Completion) {
        let Some(counted) = completion.usage.prompt_tokens else { return };
        let server = self.turn.context.router.server();
        if server.is_some_and(|server| server.observe_prompt(&self.prompt, counted)) {
            warn!(self.turn.request.log, "model server reads only a part of the prompt";
                "sent_tokens" => self.prompt.tokens, "counted_tokens" => counted,
                "solution" => "its context window is probably smaller than MAX_CONTEXT_TOKENS: enlarge it \
                    (Ollama: OLLAMA_CONTEXT_LENGTH), or lower MAX_CONTEXT_TOKENS");
        }
    }

    /// Prepares the next attempt and waits for the delay before it. Returns `false` if there is
    /// none.
    async fn prepare_retry(&mut self, client: &UpstreamClient, error: &CompletionError) -> bool {
        let (kind, delay) = match self.shorter_prompt(error) {
            Some(shorter) => {
                self.prompt = Cow::Owned(shorter);
                (RetryKind::ShorterPrompt, Duration::ZERO)
            }
            None => match self.decide_retry(client, error) {
                RetryDecision::GiveUp => return false,
                RetryDecision::Retry { model, delay } => {
                    self.model = model;
                    (if model == 0 { RetryKind::SameModel } else { RetryKind::OtherModel }, delay)
                }
            },
        };
        if self.used(error) != Usage::default() && !self.extend_reservation() {
            return false;
        }
        self.log_retry(kind, error);
        if !self.void_attempt(error).await {
            return false;
        }
        sleep(delay).await;
        true
    }

    /// A model may count more tokens than this server. Returns the prompt without the older half of
    /// the conversation, but only once.
    fn shorter_prompt(&self, error: &CompletionError) -> Option<Prompt> {
        match (&self.prompt, error.kind) {
            (Cow::Borrowed(prompt), UpstreamErrorKind::PromptTooLong) => {
                prompt.without_older_half(|text| self.turn.context.counter.count(text))
            }
            _ => None,
        }
    }

    fn decide_retry(&mut self, client: &UpstreamClient, error: &CompletionError) -> RetryDecision {
        let limits = &self.turn.context.limits;
        let now = Instant::now();
        if !self.turn.generation.is_empty() {
            // The first text was in time. The replacement has the same time limit, starting now.
            self.first_text_deadline = now + limits.first_text_timeout;
        }
        let policy = RetryPolicy { max_retries: limits.max_retries, model_count: client.model_count() };
        let retries = self.retries.get_or_insert_with(|| RetryState::new(policy));
        let failed = FailedAttempt {
            kind: error.kind,
            upstream_retryable: error.upstream_retryable,
            retry_after: error.failure.retry_after,
        };
        let deadline = self.first_text_deadline.into_std();
        retries.on_failure(failed, now.into_std(), deadline, random_fraction())
    }

    /// Reserves the budget of another request, because the failed one may have used up the first
    /// reservation. Returns `false` if the budget is exhausted.
    fn extend_reservation(&self) -> bool {
        let Some(reservation) = self.reservation else { return true };
        let extended =
            reservation.extend(Timestamp::now(), self.prompt.tokens, self.prompt.max_response_tokens);
        if let Err(exceeded) = &extended {
            self.turn.context.metrics.budget.count_rejection(exceeded.scope);
            warn!(self.turn.request.log, "retry skipped, budget exhausted";
                "ceiling" => exceeded.scope.as_str());
        }
        extended.is_ok()
    }

    fn log_retry(&self, kind: RetryKind, error: &CompletionError) {
        let generation = &self.turn.generation;
        self.turn.context.metrics.upstream.count_retry(kind);
        warn!(self.turn.request.log, "retrying upstream request"; "how" => kind.as_str(), "cause" => %error,
            "void_bytes" => generation.len(), "may_be_charged_twice" => error.may_be_charged,
            "source_id" => generation.upstream_id().as_deref());
    }

    /// Voids the failed attempt. Returns `false` if the store did not confirm this in time.
    async fn void_attempt(&self, error: &CompletionError) -> bool {
        let generation = &self.turn.generation;
        generation.void_request(self.used(error));
        generation.restart();
        if generation.is_empty() {
            return true;
        }
        // After a crash, a cursor of this attempt must not be resolved in the next attempt. The
        // stored answer therefore loses its delta offsets before the next attempt starts. The write
        // is executed even if this function stops waiting for it.
        let saved = timeout(STORE_TIMEOUT, checkpoint::save(self.turn)).await;
        matches!(saved, Ok(CheckpointResult::Saved))
    }

    /// Returns what a failed request used that was not voided.
    fn used(&self, error: &CompletionError) -> Usage {
        let generation = &self.turn.generation;
        let Some(request) = generation.request() else { return Usage::default() };
        let text_tokens = match request.has_text {
            true => self.turn.context.counter.count(&generation.text()),
            false => 0,
        };
        request_usage(request, text_tokens, error.usage, error.may_be_charged)
    }

    /// Ends the answer after the breaker has opened, or before any request was sent.
    async fn without_model(
        &self,
        fallback: Fallback<'_>,
        last_error: Option<CompletionError>,
    ) -> Result<Completion, CompletionError> {
        match (fallback, last_error) {
            // Excerpts cannot continue the text of a model.
            (_, Some(error)) if !self.turn.generation.is_empty() => Err(error),
            (Fallback::Excerpts(excerpts, reason), _) => {
                Ok(fallback::answer_from(self.turn, excerpts, reason).await)
            }
            (Fallback::Unavailable(_), Some(error)) => Err(error),
            (Fallback::Unavailable(failure), None) => Err(CompletionError::not_sent(failure)),
        }
    }

    /// Ends the answer after the last attempt has failed.
    async fn fall_back(&self, error: CompletionError) -> Result<Completion, CompletionError> {
        // What every visitor meets is not caused by the question.
        let router = &self.turn.context.router;
        let allow_fallback = error.kind.policy().allow_fallback || router.is_common_refusal(&error);
        if !allow_fallback || !self.turn.generation.is_empty() {
            return Err(error);
        }
        let reason = Some(DegradedBy::ModelFailed);
        match router.fallback(reason, error.failure) {
            Fallback::Excerpts(excerpts, reason) => {
                warn!(self.turn.request.log, "upstream unavailable, falling back to resume excerpts";
                    "cause" => %error);
                self.turn.generation.void_request(self.used(&error));
                Ok(fallback::answer_from(self.turn, excerpts, reason).await)
            }
            Fallback::Unavailable(_) => Err(error),
        }
    }
}
