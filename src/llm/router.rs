//! Routes each question to a backend: the model or resume excerpts.
//!
//! The router is consulted twice for a question: when it arrives, and again right before each
//! request, because the circuit breaker may have opened in between.

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
use crate::llm::resilience::circuit_breaker::{
    BreakerDecision, BreakerPolicy, BreakerStatus, CircuitBreaker, FailedRequest, OutageCause,
};
use crate::llm::resilience::concurrency_limit::{ConcurrencyLimiter, Occupancy, QueuedPermit};
use crate::llm::resilience::failure_share::RequestNumber;
use crate::llm::resilience::fair_queue::QueueFull;
use crate::llm::resilience::refusal_streak::{Asker, Refusal};
use crate::llm::upstream::account::api_key::{KeyError, KeyReport};
use crate::llm::upstream::account::generation_cost::CostError;
use crate::llm::upstream::client::UpstreamClient;
use crate::llm::upstream::completion::CompletionError;
use crate::llm::upstream::server::report::ServerReport;
use crate::llm::upstream::server::state::{ServerState, ServerStatus};
use crate::llm::upstream::server::window::TokenLimits;
use crate::telemetry::metrics::{DegradedBy, Metrics, QueueRejection, UpstreamOutcome};

/// The minimum time to retry after the queue was full. Answers take seconds.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The backends that can answer.
#[derive(Debug)]
pub struct Router {
    /// `None` if only resume excerpts answer.
    model: Option<Model>,
    /// `None` if excerpts must not replace the model.
    excerpts: Option<Excerpts>,
    metrics: Arc<Metrics>,
}

/// The client of a model and the limits of its use.
#[derive(Debug)]
pub struct ModelBackend {
    pub client: UpstreamClient,
    pub breaker: BreakerPolicy,
    pub limiter: Arc<ConcurrencyLimiter>,
    /// The token and cost budget of the model.
    pub budget: Arc<BudgetTracker>,
}

#[derive(Debug)]
struct Model {
    client: UpstreamClient,
    breaker: Mutex<CircuitBreaker>,
    limiter: Arc<ConcurrencyLimiter>,
    budget: Arc<BudgetTracker>,
    /// The newest report about the API key.
    key_report: Mutex<Option<Result<KeyReport, KeyError>>>,
    /// What is known of the server.
    server: ServerState,
}

/// Where a question goes when it arrives.
#[derive(Debug)]
pub enum Route {
    /// To the model.
    Model(ModelPermit),
    /// To resume excerpts, because there is no model or because of the given reason.
    Excerpts(Option<DegradedBy>),
}

/// The permit and the budget that a question holds while the model answers it.
#[derive(Debug)]
pub struct ModelPermit {
    pub permit: QueuedPermit,
    /// The budget reserved for the answer.
    pub reservation: Reservation,
}

/// The backend that receives the next request for an answer.
#[derive(Debug)]
pub enum Backend<'a> {
    /// The model. The result must be recorded in the guard.
    Model(&'a UpstreamClient, BreakerGuard<'a>),
    Fallback(Fallback<'a>),
}

/// The backend that answers instead of the model.
#[derive(Debug)]
pub enum Fallback<'a> {
    /// Resume excerpts, because there is no model or because of the given reason.
    Excerpts(&'a Excerpts, Option<DegradedBy>),
    /// Nothing; the question fails.
    Unavailable(Failure),
}

impl Router {
    /// Returns a router without a model.
    #[must_use]
    pub fn with_excerpts_only(excerpts: Excerpts, metrics: Arc<Metrics>) -> Self {
        Self { model: None, excerpts: Some(excerpts), metrics }
    }

    /// Returns a router with a model. `excerpts` answer while the model cannot; without them such
    /// questions fail.
    #[must_use]
    pub fn with_model(backend: ModelBackend, excerpts: Option<Excerpts>, metrics: Arc<Metrics>) -> Self {
        let ModelBackend { client, breaker, limiter, budget } = backend;
        let breaker = Mutex::new(CircuitBreaker::new(breaker));
        let model = Model {
            client,
            breaker,
            limiter,
            budget,
            key_report: Mutex::default(),
            server: ServerState::default(),
        };
        Self { model: Some(model), excerpts, metrics }
    }

    /// Returns whether upstream reports the cost of aborted requests afterwards.
    #[must_use]
    pub fn reports_costs(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.client.reports_costs())
    }

    /// Reads the cost of the request whose response has this upstream id. Returns `None` if
    /// upstream reports no costs.
    pub async fn request_cost(&self, upstream_id: &str) -> Option<Result<ReportedCost, CostError>> {
        let model = self.model.as_ref().filter(|model| model.client.reports_costs())?;
        Some(model.client.request_cost(upstream_id).await)
    }

    /// Returns the budget of the model, if there is one.
    #[must_use]
    pub fn budget(&self) -> Option<&Arc<BudgetTracker>> {
        self.model.as_ref().map(|model| &model.budget)
    }

    /// Routes a question that arrives at `now`, which is `at` by the wall clock. A question for the
    /// model joins the queue and reserves its budget.
    ///
    /// # Errors
    /// Returns the failure to report if the queue is full or no backend may answer.
    pub fn route(
        &self,
        now: Instant,
        at: Timestamp,
        session: SessionId,
        address: AddressKey,
        prompt: &Prompt,
    ) -> Result<Route, Failure> {
        let Some(model) = &self.model else { return Ok(Route::Excerpts(None)) };
        let fall_back = |reason, failure| match &self.excerpts {
            Some(_) => Ok(Route::Excerpts(Some(reason))),
            None => Err(failure),
        };
        if let BreakerDecision::Reject(pause) = model.breaker().peek(now, address) {
            return fall_back(DegradedBy::BreakerOpen, breaker_failure(pause));
        }
        let permit = model.limiter.acquire(address).map_err(|QueueFull { retry_after }| {
            self.metrics.upstream.count_queue_rejection(QueueRejection::Full);
            let retry_after = retry_after.unwrap_or_default().max(MIN_RETRY_AFTER);
            Failure::with_retry_after(ErrorCode::Overloaded, retry_after)
        })?;
        let payer = model.budget.payer(session, address);
        match model.budget.reserve(at, payer, prompt.tokens, prompt.max_response_tokens) {
            Ok(reservation) => Ok(Route::Model(ModelPermit { permit, reservation })),
            Err(exceeded) => {
                self.metrics.budget.count_rejection(exceeded.scope);
                fall_back(DegradedBy::BudgetSpent, budget_failure(exceeded))
            }
        }
    }

    /// Selects the backend for a request that is sent `now` for a visitor.
    pub fn select_backend(&self, now: Instant, asker: Asker) -> Backend<'_> {
        let Some(model) = &self.model else {
            return Backend::Fallback(self.fallback(None, ErrorCode::InternalError.into()));
        };
        let admitted = model.breaker().admit(now, asker.address);
        match admitted {
            Ok(request) => {
                Backend::Model(&model.client, BreakerGuard::new(model, &self.metrics, request, asker))
            }
            Err(pause) => {
                Backend::Fallback(self.fallback(Some(DegradedBy::BreakerOpen), breaker_failure(pause)))
            }
        }
    }

    /// Returns the backend that answers instead of the model: excerpts if they are enabled,
    /// otherwise none, with `failure`.
    pub fn fallback(&self, reason: Option<DegradedBy>, failure: Failure) -> Fallback<'_> {
        match &self.excerpts {
            Some(excerpts) => Fallback::Excerpts(excerpts, reason),
            None => Fallback::Unavailable(failure),
        }
    }

    /// Returns what would produce the answer to a question from this address that arrives at `now`,
    /// which is `at` by the wall clock.
    #[must_use]
    pub fn mode(&self, now: Instant, at: Timestamp, address: AddressKey) -> AnswerMode {
        self.mode_if(at, |model| model.is_breaker_open(now, address))
    }

    /// Returns what would produce the answer to questions that arrive at `now`, which is `at` by the
    /// wall clock. While the breaker rejects only one address, this is the mode for that address.
    #[must_use]
    pub fn general_mode(&self, now: Instant, at: Timestamp) -> AnswerMode {
        self.mode_if(at, |model| model.breaker().is_open(now))
    }

    fn mode_if(&self, at: Timestamp, is_breaker_open: impl Fn(&Model) -> bool) -> AnswerMode {
        let is_unavailable = |model: &Model| is_breaker_open(model) || model.budget.is_exhausted(at);
        let excerpts_answer = self.excerpts.is_some() && self.model.as_ref().is_none_or(is_unavailable);
        if excerpts_answer { AnswerMode::Excerpts } else { AnswerMode::Live }
    }

    /// Returns whether the breaker rejects requests from this address at `now`.
    #[must_use]
    pub fn is_breaker_open(&self, now: Instant, address: AddressKey) -> bool {
        self.model.as_ref().is_some_and(|model| model.is_breaker_open(now, address))
    }

    /// Returns whether the breaker has opened because every visitor meets this error.
    #[must_use]
    pub fn is_common_refusal(&self, error: &CompletionError) -> bool {
        let refusal = Refusal { kind: error.kind, identity: error.identity.clone() };
        self.model.as_ref().is_some_and(|model| model.breaker().is_common_refusal(&refusal))
    }

    /// Reads the report about the API key and keeps it. Returns `None` if upstream has no such
    /// report.
    pub async fn refresh_key_report(&self) -> Option<Result<KeyReport, KeyError>> {
        let model = self.model.as_ref().filter(|model| model.client.reports_costs())?;
        let report = model.client.key_report().await;
        *model.key_report() = Some(report.clone());
        Some(report)
    }

    /// Returns the newest report about the API key.
    #[must_use]
    pub fn key_report(&self) -> Option<Result<KeyReport, KeyError>> {
        self.model.as_ref()?.key_report().clone()
    }

    /// Asks the model server what it is. Returns `None` if there is no model.
    pub async fn inquire(&self) -> Option<ServerReport> {
        Some(self.model.as_ref()?.client.inquire().await)
    }

    /// Returns what is known of the model server; `None` if there is no model.
    #[must_use]
    pub fn server(&self) -> Option<&ServerState> {
        self.model.as_ref().map(|model| &model.server)
    }

    /// Returns the state of the model server for a health report.
    #[must_use]
    pub fn server_status(&self) -> Option<ServerStatus> {
        let model = self.model.as_ref()?;
        Some(ServerStatus { dialect: model.client.dialect_summary(), ..model.server.status() })
    }

    /// Returns the configured limits on tokens, reduced to the context window of the model.
    #[must_use]
    pub fn token_limits(&self, configured: TokenLimits) -> TokenLimits {
        self.server().map_or(configured, |server| server.limits(configured))
    }

    /// Returns the number of questions that the model answers and the number that wait for it.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.model.as_ref().map_or_else(Occupancy::default, |model| model.limiter.occupancy())
    }

    /// Returns the status of the breaker, if there is a model.
    #[must_use]
    pub fn breaker_status(&self, now: Instant) -> Option<BreakerStatus> {
        Some(self.model.as_ref()?.breaker().status(now))
    }
}

impl Model {
    fn breaker(&self) -> MutexGuard<'_, CircuitBreaker> {
        // A panic while the lock is held leaves the breaker consistent: every change is one step.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_breaker_open(&self, now: Instant, address: AddressKey) -> bool {
        matches!(self.breaker().peek(now, address), BreakerDecision::Reject(_))
    }

    fn key_report(&self) -> MutexGuard<'_, Option<Result<KeyReport, KeyError>>> {
        self.key_report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records the result of one request in the breaker and in the metrics. A guard that is dropped
/// without a result counts the request as stopped, and changes the breaker only by ending a probe.
#[derive(Debug)]
pub struct BreakerGuard<'a> {
    model: &'a Model,
    metrics: &'a Metrics,
    request: RequestNumber,
    asker: Asker,
    is_recorded: bool,
}

impl<'a> BreakerGuard<'a> {
    fn new(model: &'a Model, metrics: &'a Metrics, request: RequestNumber, asker: Asker) -> Self {
        Self { model, metrics, request, asker, is_recorded: false }
    }

    /// Records that the first text arrived `now`.
    pub fn record_first_text(&self, now: Instant) {
        self.model.breaker().record_first_text(self.request, now);
    }

    /// Records that the server has answered `now`.
    pub fn record_success(mut self, now: Instant) {
        self.is_recorded = true;
        self.model.breaker().record_success(self.request, now);
        self.metrics.upstream.count_request(UpstreamOutcome::Answered);
    }

    /// Records that the request failed at `now`. Returns the cause if that opened the breaker.
    pub fn record_failure(mut self, error: &CompletionError, now: Instant) -> Option<OutageCause> {
        self.is_recorded = true;
        self.metrics.upstream.count_request(error.failure.code.into());
        let refusal = (!error.kind.policy().trips_breaker)
            .then(|| (Refusal { kind: error.kind, identity: error.identity.clone() }, self.asker));
        let failed = FailedRequest { retry_after: error.failure.retry_after, refusal };
        let cause = self.model.breaker().record_failure(now, self.request, &failed).cloned();
        if cause.is_some() {
            self.metrics.upstream.breaker_openings.inc();
        }
        cause
    }
}

impl Drop for BreakerGuard<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        self.metrics.upstream.count_request(UpstreamOutcome::Stopped);
        self.model.breaker().record_stop(self.request);
    }
}

fn breaker_failure(pause: Duration) -> Failure {
    Failure::with_retry_after(ErrorCode::ApiError, pause)
}

/// Returns the failure of a question that exceeds a budget.
pub(crate) fn budget_failure(exceeded: LimitExceeded) -> Failure {
    let LimitExceeded { scope, retry_after } = exceeded;
    let failure = Failure { retry_after, ..Failure::from(ErrorCode::BudgetExceeded) };
    match scope {
        BudgetScope::Day => failure,
        BudgetScope::Address | BudgetScope::Network => Failure {
            message: Some("Your budget for today is used up. Please come back tomorrow."),
            ..failure
        },
        BudgetScope::Session => Failure {
            retryable: false,
            message: Some("This conversation has reached its maximum length. Please start a new one."),
            ..failure
        },
    }
}
