//! Starts the components that produce answers: the budget, the router, the LLM actor and the cost
//! reconciler.

use std::sync::Arc;

use actix::{Addr, Arbiter};
use secrecy::ExposeSecret;
use slog::{Logger, info, o};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::context::BuildContext;
use crate::app::startup::{AnswerSource, StartupError};
use crate::budget::{AddressHasher, BudgetTracker, Exchange};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::llm::LlmActor;
use crate::llm::billing::cost_reconciler::CostReconciler;
use crate::llm::excerpts::Excerpts;
use crate::llm::resilience::circuit_breaker::BreakerPolicy;
use crate::llm::resilience::concurrency_limit::ConcurrencyLimiter;
use crate::llm::router::{ModelBackend, Router};
use crate::llm::turn::context::{LatestDuration, TurnContext, TurnLimits};
use crate::llm::turn::store::TurnStore;
use crate::llm::upstream::client::UpstreamClient;
use crate::persistence::PersistenceActor;
use crate::settings::{DegradedMode, Settings};
use crate::supervision::supervisor;

pub(super) struct Answers {
    pub(super) llm: Addr<LlmActor>,
    pub(super) router: Arc<Router>,
    pub(super) budget: Arc<BudgetTracker>,
}

impl Answers {
    pub(super) fn start(
        context: &BuildContext<'_>,
        source: AnswerSource,
        persistence: &Addr<PersistenceActor>,
    ) -> Result<Self, StartupError> {
        let budget = budget(context.settings);
        let router = Arc::new(match source {
            AnswerSource::Model => {
                log_ceiling(&context.log, &budget);
                model_router(context, &budget)?
            }
            AnswerSource::Excerpts => {
                Router::with_excerpts_only(Excerpts::new(context.resume), Arc::clone(&context.metrics))
            }
        });
        let pending_cost_added = Arc::new(Notify::new());
        start_cost_reconciler(context, &router, &pending_cost_added, persistence);
        let turn_context = Arc::new(turn_context(context, &router, &budget, pending_cost_added, persistence));
        let load_budget = context.address_of(persistence);
        let log = context.log.new(o!("actor" => "llm"));
        let arbiter = Arbiter::new().handle();
        let llm = supervisor::start_in_arbiter(&arbiter, &context.supervision, || {
            LlmActor::new(turn_context, load_budget, log)
        });
        Ok(Self { llm, router, budget })
    }
}

fn turn_context(
    context: &BuildContext<'_>,
    router: &Arc<Router>,
    budget: &Arc<BudgetTracker>,
    pending_cost_added: Arc<Notify>,
    persistence: &Addr<PersistenceActor>,
) -> TurnContext {
    TurnContext {
        router: Arc::clone(router),
        budget: Arc::clone(budget),
        store: TurnStore {
            save_question: context.address_of(persistence),
            save_answer: context.address_of(persistence),
            find_turn: context.address_of(persistence),
            mark_interrupted: context.address_of(persistence),
        },
        limits: TurnLimits {
            max_retries: context.settings.llm.max_retries,
            first_text_timeout: context.settings.llm.first_word_timeout,
            reconnect_grace: context.settings.session.reconnect_grace,
        },
        counter: context.counter,
        metrics: Arc::clone(&context.metrics),
        instance_id: context.instance_id.clone(),
        pending_cost_added,
        time_to_first_text: LatestDuration::default(),
        shutdown: CancellationToken::new(),
    }
}

fn model_router(context: &BuildContext<'_>, budget: &Arc<BudgetTracker>) -> Result<Router, StartupError> {
    let settings = &context.settings.llm;
    let max_prices = context.settings.budget.prices();
    let client = UpstreamClient::new(settings).map_err(StartupError::system)?.with_max_price(max_prices);
    let breaker =
        BreakerPolicy { failure_threshold: settings.breaker_failures, initial_pause: settings.breaker_pause };
    let has_fallback = settings.degraded_mode == DegradedMode::Excerpts;
    let excerpts = has_fallback.then(|| Excerpts::new(context.resume));
    let limiter =
        ConcurrencyLimiter::new(settings.max_concurrency, settings.max_queue, settings.queue_timeout);
    let backend = ModelBackend { client, breaker, limiter, budget: Arc::clone(budget) };
    Ok(Router::with_model(backend, excerpts, Arc::clone(&context.metrics)))
}

fn start_cost_reconciler(
    context: &BuildContext<'_>,
    router: &Arc<Router>,
    pending_cost_added: &Arc<Notify>,
    persistence: &Addr<PersistenceActor>,
) {
    let reconciler = CostReconciler {
        router: Arc::clone(router),
        find_pending_costs: context.address_of(persistence),
        update_pending_cost: context.address_of(persistence),
        pending_cost_added: Arc::clone(pending_cost_added),
        metrics: Arc::clone(&context.metrics),
        instance_name: context.instance_id.name(),
        started_at: Timestamp::now(),
        log: context.log.new(o!("actor" => "cost_reconciler")),
    };
    let run = async move || reconciler.run().await;
    actix::spawn(Arc::clone(&context.supervision).supervise_task(Component::CostReconciler, run));
}

/// Logs the most that a day can cost.
pub(super) fn log_ceiling(log: &Logger, budget: &BudgetTracker) {
    info!(log, "daily budget"; "ceiling" => %budget.ceiling());
}

fn budget(settings: &Settings) -> Arc<BudgetTracker> {
    let Settings { budget, tokens, .. } = settings;
    let largest_exchange =
        Exchange { prompt_tokens: tokens.max_prompt(), completion_tokens: tokens.max_response };
    let secret = settings.llm.api_key().map_or("", |key| key.expose_secret());
    let addresses = AddressHasher::new(secret.as_bytes());
    BudgetTracker::new(budget.policy(), budget.prices(), largest_exchange, addresses)
}
