//! The actor that accepts questions and owns the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use futures_util::future::join_all;
use slog::{Logger, warn};
use tokio::time::{Instant, timeout};

use crate::budget::{Account, Day};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::ids::TurnId;
use crate::domain::turn::AnswerMode;
use crate::impl_mailbox;
use crate::llm::messages::{
    CheckModel, FindGeneration, FinishAnswers, FollowRemoteTurn, GenerateAnswer, ModelStatus,
};
use crate::llm::router::Route;
use crate::llm::stream::generation::Generation;
use crate::llm::turn::context::TurnContext;
use crate::llm::turn::remote::RemoteTurn;
use crate::llm::turn::task::TurnTask;
use crate::mailbox::{Address, Handle, Mailbox, Reply};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::LoadBudgetUsage;
use crate::system::failpoints::{self, Failpoint};

/// How often ended generations are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The delay before today's budget usage is loaded again.
const RELOAD_DELAY: Duration = Duration::from_secs(1);

/// The mailbox capacity. Handling a message takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// Accepts questions and owns every generation that is in progress or has just ended.
pub struct LlmActor {
    context: Arc<TurnContext>,
    /// Ended generations are kept for as long as a address may reconnect.
    generations: HashMap<TurnId, TrackedGeneration>,
    load_budget: Address<LoadBudgetUsage>,
    log: Logger,
    is_draining: bool,
}

struct TrackedGeneration {
    generation: Arc<Generation>,
    origin: Origin,
    /// When a sweep first found that it has ended.
    ended_at: Option<Instant>,
}

/// Which instance generates an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Local,
    Remote,
}

impl LlmActor {
    /// Returns an actor without generations.
    #[must_use]
    pub fn new(context: Arc<TurnContext>, load_budget: Address<LoadBudgetUsage>, log: Logger) -> Self {
        Self { context, generations: HashMap::new(), load_budget, log, is_draining: false }
    }

    fn generate(&mut self, request: GenerateAnswer) -> Result<Arc<Generation>, Failure> {
        if self.is_draining {
            return Err(ErrorCode::ShuttingDown.into());
        }
        let GenerateAnswer { session_id, address, asked_at, ref prompt, .. } = request;
        let now = std::time::Instant::now();
        let route = self.context.router.route(now, asked_at, session_id, address, prompt)?;
        let mode = match route {
            Route::Model(_) => AnswerMode::Live,
            Route::Excerpts(_) => AnswerMode::Excerpts,
        };
        let generation = Generation::new(request.turn_id, session_id, request.client_id.clone(), mode);
        self.track(&generation, Origin::Local);
        let task = TurnTask::new(Arc::clone(&self.context), request, Arc::clone(&generation));
        actix::spawn(task.run(route));
        Ok(generation)
    }

    fn follow(&mut self, follow: FollowRemoteTurn) -> Arc<Generation> {
        let FollowRemoteTurn { session_id, turn, log } = follow;
        if let Some(tracked) = self.generations.get(&turn.turn_id) {
            return Arc::clone(&tracked.generation);
        }
        let generation = Generation::from_stored(session_id, &turn, turn.delta_ends());
        self.track(&generation, Origin::Remote);
        let remote = RemoteTurn::new(Arc::clone(&self.context), Arc::clone(&generation), log);
        actix::spawn(remote.follow(turn));
        generation
    }

    fn track(&mut self, generation: &Arc<Generation>, origin: Origin) {
        let tracked = TrackedGeneration { generation: Arc::clone(generation), origin, ended_at: None };
        self.generations.insert(generation.turn_id, tracked);
    }

    /// Loads the budget usage of today from the store. The actor handles no message until it is
    /// loaded.
    fn load_budget(&mut self, ctx: &mut Context<Self>) {
        if self.context.budget.is_loaded() {
            return;
        }
        let day = Day::from_timestamp(Timestamp::now());
        let load = LoadBudgetUsage { accounts: vec![Account::Day(day)] };
        let loaded = self.load_budget.ask(load, STORE_TIMEOUT);
        ctx.wait(loaded.into_actor(self).map(move |loaded, actor, ctx| match loaded {
            Ok(Ok(accounts)) => {
                let used = accounts.into_iter().next().map(|(_, used)| used).unwrap_or_default();
                actor.context.budget.add_stored(day, used);
            }
            failed => {
                warn!(actor.log, "cannot load today's budget usage, retrying"; "reply" => ?failed);
                let delay = tokio::time::sleep(RELOAD_DELAY);
                ctx.wait(delay.into_actor(actor).map(|(), actor, ctx| actor.load_budget(ctx)));
            }
        }));
    }

    /// Returns the answers in progress that this instance generates.
    fn live_generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        let local = self.generations.values().filter(|tracked| tracked.origin == Origin::Local);
        local.map(|tracked| &tracked.generation).filter(|generation| !generation.is_over())
    }

    fn sweep(&mut self) {
        failpoints::hit(Failpoint::LlmSweep, "");
        let now = Instant::now();
        let grace = self.context.limits.reconnect_grace;
        self.generations.retain(|_, tracked| {
            if tracked.ended_at.is_none() && tracked.generation.is_over() {
                tracked.ended_at = Some(now);
            }
            tracked.ended_at.is_none_or(|ended_at| now.duration_since(ended_at) < grace)
        });
    }
}

impl_mailbox!(LlmActor, Component::Llm, MAILBOX_CAPACITY);

impl Actor for LlmActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(SWEEP_INTERVAL, |actor, _| actor.sweep());
        self.load_budget(ctx);
    }
}

impl Supervised for LlmActor {
    /// Keeps the generations: their tasks continue, and visitors who reconnect must find them.
    /// Their permits and reservations are part of the shared context.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self {
            context: Arc::clone(&self.context),
            generations: std::mem::take(&mut self.generations),
            load_budget: self.load_budget.clone(),
            log: self.log.clone(),
            is_draining: self.is_draining,
        };
    }
}

impl Handle<GenerateAnswer> for LlmActor {
    fn handle(
        &mut self,
        request: GenerateAnswer,
        _: &mut Self::Context,
    ) -> Reply<Result<Arc<Generation>, Failure>> {
        failpoints::hit(Failpoint::LlmAsk, &request.prompt.question);
        Reply::Now(self.generate(request))
    }
}

impl Handle<FindGeneration> for LlmActor {
    fn handle(&mut self, find: FindGeneration, _: &mut Self::Context) -> Reply<Option<Arc<Generation>>> {
        failpoints::hit(Failpoint::LlmFind, "");
        let generation = self.generations.get(&find.turn_id).map(|tracked| &tracked.generation);
        let generation = generation.filter(|generation| generation.session_id == find.session_id);
        Reply::Now(generation.cloned())
    }
}

impl Handle<FollowRemoteTurn> for LlmActor {
    fn handle(&mut self, follow: FollowRemoteTurn, _: &mut Self::Context) -> Reply<Arc<Generation>> {
        Reply::Now(self.follow(follow))
    }
}

impl Handle<CheckModel> for LlmActor {
    fn handle(&mut self, _: CheckModel, _: &mut Self::Context) -> Reply<ModelStatus> {
        let router = &self.context.router;
        let now = std::time::Instant::now();
        Reply::Now(ModelStatus {
            occupancy: router.occupancy(),
            mode: router.general_mode(now, Timestamp::now()),
            breaker: router.breaker_status(now),
            key: router.key_report(),
            server: router.server_status(),
            time_to_first_text: self.context.time_to_first_text.get(),
        })
    }
}

impl Handle<FinishAnswers> for LlmActor {
    fn handle(&mut self, finish: FinishAnswers, _: &mut Self::Context) -> Reply<()> {
        self.is_draining = true;
        let live: Vec<_> = self.live_generations().cloned().collect();
        let shutdown = self.context.shutdown.clone();
        Reply::later(async move {
            let all_over = || join_all(live.iter().map(|generation| generation.wait_until_over()));
            if timeout(finish.within, all_over()).await.is_err() {
                shutdown.cancel();
                // Each answer is still stored, which takes at most the store's timeout.
                let _ = timeout(STORE_TIMEOUT * 2, all_over()).await;
            }
        })
    }
}
