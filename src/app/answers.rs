//! Starts what produces answers: the budget, the router, the LLM actor and the cost reconciler.

use std::sync::Arc;

use actix::{Addr, Arbiter};
use secrecy::ExposeSecret;
use slog::o;
use tokio::sync::Notify;

use crate::app::context::BuildContext;
use crate::app::startup::{AnswerSource, StartupError};
use crate::budget::{AddressHasher, BudgetLimits, BudgetPolicy, BudgetTracker, Prices};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::llm::LlmActor;
use crate::llm::actor::LlmParts;
use crate::llm::billing::cost_reconciler::CostCollector;
use crate::llm::excerpts::Excerpts;
use crate::llm::resilience::circuit_breaker::BreakerPolicy;
use crate::llm::resilience::concurrency_limit::Admission;
use crate::llm::router::Sources;
use crate::llm::upstream::client::UpstreamClient;
use crate::persistence::PersistenceActor;
use crate::settings::{BudgetSettings, DegradedMode, Settings};
use crate::supervision::supervisor;

pub(super) struct Answers {
    pub(super) llm: Addr<LlmActor>,
    pub(super) router: Arc<Sources>,
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
            AnswerSource::Model => model_router(context, &budget)?,
            AnswerSource::Excerpts => {
                Sources::resume(Excerpts::new(context.resume), Arc::clone(&context.metrics))
            }
        });
        let cost_owed = Arc::new(Notify::new());
        start_cost_reconciler(context, &router, &cost_owed, persistence);
        let parts = LlmParts {
            sources: Arc::clone(&router),
            max_retries: context.settings.llm.max_retries,
            first_word_timeout: context.settings.llm.first_word_timeout,
            save_question: context.address_of(persistence),
            save_answer: context.address_of(persistence),
            load_spending: context.address_of(persistence),
            spending: Arc::clone(&budget),
            cost_owed,
            log: context.log.new(o!("actor" => "llm")),
            find_turn: context.address_of(persistence),
            mark_interrupted: context.address_of(persistence),
            incarnation: context.instance.clone(),
            metrics: Arc::clone(&context.metrics),
            counter: context.counter,
            reconnect_grace: context.settings.session.reconnect_grace,
        };
        let arbiter = Arbiter::new().handle();
        let llm = supervisor::start_in_arbiter(&arbiter, &context.supervision, || LlmActor::new(parts));
        Ok(Self { llm, router, budget })
    }
}

fn model_router(context: &BuildContext<'_>, budget: &Arc<BudgetTracker>) -> Result<Sources, StartupError> {
    let settings = &context.settings.llm;
    let BudgetSettings { prompt_price, completion_price, .. } = context.settings.budget;
    let max_prices = prompt_price.zip(completion_price);
    let max_prices = max_prices.map(|(prompt, completion)| Prices { prompt, completion });
    let client = UpstreamClient::new(settings).map_err(StartupError::system)?.paying_at_most(max_prices);
    let breaker = BreakerPolicy { failures: settings.breaker_failures, pause: settings.breaker_pause };
    let has_fallback = settings.degraded_mode == DegradedMode::Excerpts;
    let excerpts = has_fallback.then(|| Excerpts::new(context.resume));
    let admission = Admission::new(settings.max_concurrency, settings.max_queue, settings.queue_timeout);
    let (budget, metrics) = (Arc::clone(budget), Arc::clone(&context.metrics));
    Ok(Sources::model(client, breaker, budget, admission, excerpts, metrics))
}

fn start_cost_reconciler(
    context: &BuildContext<'_>,
    router: &Arc<Sources>,
    cost_owed: &Arc<Notify>,
    persistence: &Addr<PersistenceActor>,
) {
    let reconciler = CostCollector {
        sources: Arc::clone(router),
        find: context.address_of(persistence),
        change: context.address_of(persistence),
        cost_owed: Arc::clone(cost_owed),
        metrics: Arc::clone(&context.metrics),
        incarnation: context.instance.name(),
        began_at: Timestamp::now(),
        log: context.log.new(o!("actor" => "cost_reconciler")),
    };
    let run = async move || reconciler.run().await;
    actix::spawn(Arc::clone(&context.supervision).supervise_task(Component::CostReconciler, run));
}

fn budget(settings: &Settings) -> Arc<BudgetTracker> {
    let budget = &settings.budget;
    let limits = BudgetPolicy {
        day: BudgetLimits { tokens: budget.daily_tokens, nanodollars: budget.daily_nanodollars },
        address: BudgetLimits { tokens: budget.address_tokens, nanodollars: budget.address_nanodollars },
        session: BudgetLimits { tokens: budget.session_tokens, nanodollars: budget.session_nanodollars },
    };
    let secret = settings.llm.api_key.as_ref().map_or("", |key| key.expose_secret());
    let addresses = AddressHasher::new(secret.as_bytes());
    let prices =
        Prices { prompt: budget.prompt_price.unwrap_or(0), completion: budget.completion_price.unwrap_or(0) };
    BudgetTracker::new(limits, prices, addresses)
}
