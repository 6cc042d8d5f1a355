//! Who answers the next question: the model's server, the resume's own passages, or nobody.
//!
//! One value for every question, asked right before it is answered, so that whatever keeps the model from answering
//! (its breaker, say) has one place to say so.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::budget::{BudgetTracker, LimitExceeded, ReportedCost, Reservation};
use crate::domain::budget_scope::BudgetScope;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::ids::SessionId;
use crate::domain::turn::AnswerMode;
use crate::limits::AddressKey;
use crate::llm::excerpts::Excerpts;
use crate::llm::prompt::Prompt;
use crate::llm::resilience::circuit_breaker::{Asking, Breaker, BreakerPolicy, BreakerState};
use crate::llm::resilience::concurrency_limit::{Admission, Admitted};
use crate::llm::resilience::fair_queue::LineTooLong;
use crate::llm::upstream::api_key::{KeyError, KeyReport};
use crate::llm::upstream::client::UpstreamClient;
use crate::llm::upstream::completion::SourceError;
use crate::llm::upstream::generation_cost::CostError;
use crate::telemetry::metrics::{DegradedBy, Metrics, QueueRejection, UpstreamOutcome};

/// When to ask again after the line was full; answers take seconds.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(2);

/// Everybody who can answer.
#[derive(Debug)]
pub struct Sources {
    /// `None`: the resume alone answers.
    model: Option<Model>,
    /// `None`: when the model does not answer, nobody does.
    excerpts: Option<Excerpts>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Model {
    client: UpstreamClient,
    breaker: Mutex<Breaker>,
    spending: Arc<BudgetTracker>,
    admission: Arc<Admission>,
    /// What was last said of the key.
    key: Mutex<Option<Result<KeyReport, KeyError>>>,
}

/// How a question goes on from here.
#[derive(Debug)]
pub enum Route {
    /// To the model, with what that takes.
    Model(Fare),
    /// To the resume, instead of the model for a reason, or because there is none.
    Resume(Option<DegradedBy>),
}

/// What it takes to ask the model.
#[derive(Debug)]
pub struct Fare {
    /// A place, or the wait for one.
    pub admitted: Admitted,
    /// What the answer may cost.
    pub reservation: Reservation,
}

/// Who answers one question.
#[derive(Debug)]
pub enum Choice<'a> {
    /// The model's server; how it went must be told to the trial.
    Model(&'a UpstreamClient, Trial<'a>),
    /// The resume; instead of the model for a reason, or because there is none.
    Excerpts(&'a Excerpts, Option<DegradedBy>),
    /// Nobody.
    Neither(Failure),
}

impl Sources {
    /// The resume alone.
    #[must_use]
    pub fn resume(excerpts: Excerpts, metrics: Arc<Metrics>) -> Self {
        Self { model: None, excerpts: Some(excerpts), metrics }
    }

    /// A model's server and, when it does not answer, the resume, if it may.
    #[must_use]
    pub fn model(
        client: UpstreamClient,
        breaker: BreakerPolicy,
        spending: Arc<BudgetTracker>,
        admission: Arc<Admission>,
        excerpts: Option<Excerpts>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let breaker = Mutex::new(Breaker::new(breaker));
        let key = Mutex::default();
        Self { model: Some(Model { client, breaker, spending, admission, key }), excerpts, metrics }
    }

    /// Whether the model's server tells afterwards what a request cost that was broken off.
    #[must_use]
    pub fn tells_costs(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.client.tells_costs())
    }

    /// What a request cost that the model's server calls so; `None` where there is nobody to ask.
    pub async fn cost(&self, source_id: &str) -> Option<Result<ReportedCost, CostError>> {
        let model = self.model.as_ref().filter(|model| model.client.tells_costs())?;
        Some(model.client.cost(source_id).await)
    }

    /// What the model may cost, when one answers.
    #[must_use]
    pub fn spending(&self) -> Option<&Arc<BudgetTracker>> {
        self.model.as_ref().map(|model| &model.spending)
    }

    /// Where a question of so many tokens goes that comes `now`, which is `at` by the calendar.
    ///
    /// # Errors
    /// What the visitor is told, when nobody may answer it or the line is too long.
    pub fn route(
        &self,
        now: Instant,
        at: Timestamp,
        session: SessionId,
        visitor: AddressKey,
        prompt: &Prompt,
    ) -> Result<Route, Failure> {
        let Some(model) = &self.model else { return Ok(Route::Resume(None)) };
        let resume = |reason, failure| match &self.excerpts {
            Some(_) => Ok(Route::Resume(Some(reason))),
            None => Err(failure),
        };
        if let Asking::Refused(pause) = model.breaker().would_admit(now) {
            return resume(DegradedBy::BreakerOpen, closed(pause));
        }
        let admitted = model.admission.join(visitor).map_err(|LineTooLong { retry_after }| {
            self.metrics.upstream.count_queue_rejection(QueueRejection::Full);
            Failure::after(ErrorCode::Overloaded, retry_after.unwrap_or_default().max(RETRY_WHEN_FULL))
        })?;
        let asker = model.spending.payer(session, visitor);
        match model.spending.reserve(at, asker, prompt.tokens, prompt.max_response_tokens) {
            Ok(reservation) => Ok(Route::Model(Fare { admitted, reservation })),
            Err(reached) => {
                self.metrics.budget.count_rejection(reached.scope);
                resume(DegradedBy::BudgetSpent, over(reached))
            }
        }
    }

    /// Who answers a question on its way to the model whose turn has come `now`.
    pub fn choose(&self, now: Instant) -> Choice<'_> {
        match &self.model {
            None => self.instead(None, Failure::from(ErrorCode::InternalError)),
            Some(model) => match model.breaker().admit(now) {
                Asking::Refused(pause) => self.instead(Some(DegradedBy::BreakerOpen), closed(pause)),
                asking => {
                    let probe = Cell::new(asking == Asking::Probe);
                    Choice::Model(&model.client, Trial { model, metrics: &self.metrics, probe, told: false })
                }
            },
        }
    }

    /// The resume if it may answer, else the failure.
    pub fn instead(&self, reason: Option<DegradedBy>, failure: Failure) -> Choice<'_> {
        match &self.excerpts {
            Some(excerpts) => Choice::Excerpts(excerpts, reason),
            None => Choice::Neither(failure),
        }
    }

    /// Who would answer a question that comes `now`, which is `at` by the calendar, as visitors are told.
    #[must_use]
    pub fn mode(&self, now: Instant, at: Timestamp) -> AnswerMode {
        let rests = |model: &Model| self.is_shut(now) || model.spending.is_exhausted(at);
        let quotes = self.excerpts.is_some() && self.model.as_ref().is_none_or(rests);
        if quotes { AnswerMode::Excerpts } else { AnswerMode::Live }
    }

    /// Whether the breaker lets nobody ask the model `now`.
    #[must_use]
    pub fn is_shut(&self, now: Instant) -> bool {
        let refused = |model: &Model| matches!(model.breaker().would_admit(now), Asking::Refused(_));
        self.model.as_ref().is_some_and(refused)
    }

    /// Asks what is known of the key, and remembers it. `None` where there is nothing to ask.
    pub async fn look_at_key(&self) -> Option<Result<KeyReport, KeyError>> {
        let model = self.model.as_ref().filter(|model| model.client.knows_keys())?;
        let said = model.client.key().await;
        *model.key() = Some(said.clone());
        Some(said)
    }

    /// What was last said of the key.
    #[must_use]
    pub fn key(&self) -> Option<Result<KeyReport, KeyError>> {
        self.model.as_ref()?.key().clone()
    }

    /// How many questions the model answers, and how many wait for it.
    #[must_use]
    pub fn occupancy(&self) -> (usize, usize) {
        self.model.as_ref().map_or((0, 0), |model| model.admission.occupancy())
    }

    /// The breaker's state and the failures in a row, when a model answers.
    #[must_use]
    pub fn breaker(&self, now: Instant) -> Option<(BreakerState, u32)> {
        let breaker = self.model.as_ref()?.breaker();
        Some((breaker.state(now), breaker.failures()))
    }
}

impl Model {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // A panic elsewhere leaves it whole: every change is one step.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> MutexGuard<'_, Option<Result<KeyReport, KeyError>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request to the model's server. Dropped untold, it was stopped for a reason that is not the server's.
#[derive(Debug)]
pub struct Trial<'a> {
    model: &'a Model,
    metrics: &'a Metrics,
    /// Nobody else is asking meanwhile; over with the first word.
    probe: Cell<bool>,
    told: bool,
}

impl Trial<'_> {
    /// The first word is there: the server is back, however long the rest takes.
    pub fn first_word(&self) {
        if self.probe.replace(false) {
            self.model.breaker().succeeded();
        }
    }

    /// The server answered.
    pub fn succeeded(mut self) {
        self.told = true;
        self.model.breaker().succeeded();
        self.metrics.upstream.count_request(UpstreamOutcome::Answered);
    }

    /// The server failed. Returns whether nobody will ask it from now on.
    pub fn failed(mut self, error: &SourceError, now: Instant) -> bool {
        self.told = true;
        self.metrics.upstream.count_request(error.failure.code.into());
        let mut breaker = self.model.breaker();
        if !error.fault.consequences().counts {
            // It answered, in its way; whether it answers other questions, the next one finds out.
            if self.probe.get() {
                breaker.withdrawn();
            }
            return false;
        }
        let opened = breaker.failed(now, self.probe.get(), error.failure.retry_after);
        if opened {
            self.metrics.upstream.breaker_openings.inc();
        }
        opened
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        self.metrics.upstream.count_request(UpstreamOutcome::Stopped);
        if self.probe.get() {
            self.model.breaker().withdrawn();
        }
    }
}

/// What a visitor is told while the breaker is open and nobody else may answer.
/// What a visitor is told whose question is over a ceiling.
pub(crate) fn over(reached: LimitExceeded) -> Failure {
    let LimitExceeded { scope, retry_after } = reached;
    let failure = Failure { retry_after, ..Failure::from(ErrorCode::BudgetExceeded) };
    match scope {
        BudgetScope::Day => failure,
        BudgetScope::Address => Failure {
            saying: Some(
                "Your questions of today have used up what one visitor may have. Please come back tomorrow.",
            ),
            ..failure
        },
        BudgetScope::Session => Failure {
            retryable: false,
            saying: Some("This conversation has become as long as it may. Please start a new one."),
            ..failure
        },
    }
}

fn closed(pause: Duration) -> Failure {
    Failure::after(ErrorCode::ApiError, pause)
}
