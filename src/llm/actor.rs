//! The actor that admits questions and owns the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use slog::{Logger, warn};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::budget::{Account, BudgetTracker, Day};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::ids::TurnId;
use crate::domain::turn::AnswerMode;
use crate::impl_mailbox;
use crate::llm::messages::{
    AskModel, CheckModel, FindGeneration, FinishAnswers, FollowElsewhere, ModelCondition,
};
use crate::llm::router::{Route, Sources};
use crate::llm::stream::generation::Generation;
use crate::llm::turn::task::Answering;
use crate::mailbox::{Address, Handle, Mailbox, Reply};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::{FindTurn, LoadBudgetUsage, MarkInterrupted, SaveAnswer, SaveQuestion};
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::Metrics;
use crate::tokens::TokenCounter;

/// How often ended answers are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait before asking the store again for what was spent.
const RETRY_LOADING: Duration = Duration::from_secs(1);

/// Messages that may wait for the actor; handling one takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// Owns admission and every generation, live or just ended.
pub struct LlmActor {
    answering: Arc<Answering>,
    /// Live answers, and ended ones for as long as their reader may come back.
    generations: HashMap<TurnId, Kept>,
    load_spending: Address<LoadBudgetUsage>,
    log: Logger,
    draining: bool,
}

struct Kept {
    generation: Arc<Generation>,
    /// Another server gives it; here it is only followed.
    elsewhere: bool,
    /// When a sweep first found it ended.
    ended_at: Option<Instant>,
}

/// What the actor is made of.
pub struct LlmParts {
    /// Who answers.
    pub sources: Arc<Sources>,
    /// How often an answer is asked for again.
    pub max_retries: u32,
    /// How long all tries together may take to the first word.
    pub first_word_timeout: Duration,
    /// Where questions are stored.
    pub save_question: Address<SaveQuestion>,
    /// Where answers are stored.
    pub save_answer: Address<SaveAnswer>,
    /// Where what was spent is stored.
    pub load_spending: Address<LoadBudgetUsage>,
    /// What the day may take.
    pub spending: Arc<BudgetTracker>,
    /// Told when the model's server has to be asked what an answer cost.
    pub cost_owed: Arc<Notify>,
    /// The log.
    pub log: Logger,
    /// Where answers are found that another server gives.
    pub find_turn: Address<FindTurn>,
    /// Where they are marked when it gives them no longer.
    pub mark_interrupted: Address<MarkInterrupted>,
    /// Which process answers.
    pub incarnation: InstanceId,
    /// Counts what becomes of answers.
    pub metrics: Arc<Metrics>,
    /// Counts the tokens of answers.
    pub counter: TokenCounter,
    /// How long an answer goes on with nobody listening, and is kept after its end.
    pub reconnect_grace: Duration,
}

impl LlmActor {
    /// An actor without answers.
    #[must_use]
    pub fn new(parts: LlmParts) -> Self {
        let answering = Answering {
            sources: parts.sources,
            max_retries: parts.max_retries,
            first_word_timeout: parts.first_word_timeout,
            save_question: parts.save_question,
            save_answer: parts.save_answer,
            find_turn: parts.find_turn,
            mark_interrupted: parts.mark_interrupted,
            incarnation: parts.incarnation,
            metrics: parts.metrics,
            counter: parts.counter,
            spending: parts.spending,
            cost_owed: parts.cost_owed,
            reconnect_grace: parts.reconnect_grace,
            first_word_ms: AtomicU64::new(0),
            leave: CancellationToken::new(),
        };
        Self {
            answering: Arc::new(answering),
            generations: HashMap::new(),
            load_spending: parts.load_spending,
            log: parts.log,
            draining: false,
        }
    }

    fn ask(&mut self, ask: AskModel) -> Result<Arc<Generation>, Failure> {
        if self.draining {
            return Err(ErrorCode::ShuttingDown.into());
        }
        let now = std::time::Instant::now();
        let route =
            self.answering.sources.route(now, ask.asked_at, ask.session_id, ask.visitor, &ask.prompt)?;
        let mode = match route {
            Route::Model(_) => AnswerMode::Live,
            Route::Resume(_) => AnswerMode::Excerpts,
        };
        let generation = Generation::new(ask.turn_id, ask.session_id, ask.client_id.clone(), mode);
        self.keep(&generation, false);
        actix::spawn(Arc::clone(&self.answering).carry_through(ask, Arc::clone(&generation), route));
        Ok(generation)
    }

    fn follow(&mut self, follow: FollowElsewhere) -> Arc<Generation> {
        let FollowElsewhere { session_id, turn, log } = follow;
        if let Some(kept) = self.generations.get(&turn.turn_id) {
            return Arc::clone(&kept.generation);
        }
        let generation = Generation::of_stored(session_id, &turn, turn.delta_ends());
        self.keep(&generation, true);
        actix::spawn(Arc::clone(&self.answering).follow_elsewhere(Arc::clone(&generation), turn, log));
        generation
    }

    fn keep(&mut self, generation: &Arc<Generation>, elsewhere: bool) {
        let kept = Kept { generation: Arc::clone(generation), elsewhere, ended_at: None };
        self.generations.insert(generation.turn_id, kept);
    }

    /// Reads what was spent today before this process began. Until that is known no question is taken.
    fn load_spending(&mut self, ctx: &mut Context<Self>) {
        if self.answering.spending.is_loaded() {
            return;
        }
        let day = Day::from_timestamp(Timestamp::now());
        let load = LoadBudgetUsage { accounts: vec![Account::Day(day)] };
        let loaded = self.load_spending.ask(load, STORE_TIMEOUT);
        ctx.wait(loaded.into_actor(self).map(move |loaded, actor, ctx| match loaded {
            Ok(Ok(stored)) => {
                let stored = stored.into_iter().next().map(|(_, stored)| stored).unwrap_or_default();
                actor.answering.spending.add_stored(day, stored);
            }
            failed => {
                warn!(actor.log, "what was spent today cannot be read yet"; "reply" => ?failed);
                let pause = tokio::time::sleep(RETRY_LOADING);
                ctx.wait(pause.into_actor(actor).map(|(), actor, ctx| actor.load_spending(ctx)));
            }
        }));
    }

    /// The answers that this process gives.
    fn live(&self) -> impl Iterator<Item = &Arc<Generation>> {
        let here = self.generations.values().filter(|kept| !kept.elsewhere);
        here.map(|kept| &kept.generation).filter(|generation| !generation.is_over())
    }

    fn sweep(&mut self) {
        failpoints::hit(Failpoint::LlmSweep, "");
        let now = Instant::now();
        let grace = self.answering.reconnect_grace;
        self.generations.retain(|_, kept| {
            if kept.ended_at.is_none() && kept.generation.is_over() {
                kept.ended_at = Some(now);
            }
            kept.ended_at.is_none_or(|ended_at| now.duration_since(ended_at) < grace)
        });
    }
}

impl_mailbox!(LlmActor, Component::Llm, MAILBOX_CAPACITY);

impl Actor for LlmActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(SWEEP_INTERVAL, |actor, _| actor.sweep());
        self.load_spending(ctx);
    }
}

impl Supervised for LlmActor {
    /// Answers are given by their own tasks and go on; whoever comes back to one must find it. The places they hold and what
    /// is set aside for them are in what they share.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self {
            answering: Arc::clone(&self.answering),
            generations: std::mem::take(&mut self.generations),
            load_spending: self.load_spending.clone(),
            log: self.log.clone(),
            draining: self.draining,
        };
    }
}

impl Handle<AskModel> for LlmActor {
    fn handle(&mut self, ask: AskModel, _: &mut Self::Context) -> Reply<Result<Arc<Generation>, Failure>> {
        failpoints::hit(Failpoint::LlmAsk, &ask.prompt.question);
        Reply::Now(self.ask(ask))
    }
}

impl Handle<FindGeneration> for LlmActor {
    fn handle(&mut self, find: FindGeneration, _: &mut Self::Context) -> Reply<Option<Arc<Generation>>> {
        failpoints::hit(Failpoint::LlmFind, "");
        let kept = self.generations.get(&find.turn_id);
        let generation = kept.map(|kept| &kept.generation).filter(|it| it.session_id == find.session_id);
        Reply::Now(generation.cloned())
    }
}

impl Handle<FollowElsewhere> for LlmActor {
    fn handle(&mut self, follow: FollowElsewhere, _: &mut Self::Context) -> Reply<Arc<Generation>> {
        Reply::Now(self.follow(follow))
    }
}

impl Handle<CheckModel> for LlmActor {
    fn handle(&mut self, _: CheckModel, _: &mut Self::Context) -> Reply<ModelCondition> {
        let (answering, waiting) = self.answering.sources.occupancy();
        let now = std::time::Instant::now();
        Reply::Now(ModelCondition {
            answering,
            waiting,
            mode: self.answering.sources.mode(now, Timestamp::now()),
            breaker: self.answering.sources.breaker(now),
            key: self.answering.sources.key(),
            first_word: match self.answering.first_word_ms.load(Ordering::Relaxed) {
                0 => None,
                millis => Some(Duration::from_millis(millis)),
            },
        })
    }
}

impl Handle<FinishAnswers> for LlmActor {
    fn handle(&mut self, finish: FinishAnswers, _: &mut Self::Context) -> Reply<()> {
        self.draining = true;
        let live: Vec<_> = self.live().cloned().collect();
        let leave = self.answering.leave.clone();
        Reply::later(async move {
            let all = || futures_util::future::join_all(live.iter().map(|generation| generation.over()));
            if timeout(finish.within, all()).await.is_err() {
                leave.cancel();
                // Each still stores what it has, which takes at most the store's patience.
                let _ = timeout(STORE_TIMEOUT * 2, all()).await;
            }
        })
    }
}
