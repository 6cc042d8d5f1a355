//! The actor that admits questions and owns the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::choice::Sources;
use super::generation::{Failure, Generation};
use super::messages::{AskModel, CheckModel, FindGeneration, FinishAnswers, ModelCondition};
use super::turn::{Answering, Place};
use crate::ids::TurnId;
use crate::mailbox::{Mailbox, Post, Receive, Reply};
use crate::persistence::PATIENCE;
use crate::persistence::messages::{SaveAnswer, SaveQuestion};
use crate::protocol::codes::ErrorCode;
use crate::receives;
use crate::telemetry::metrics::Metrics;
use crate::tokens::TokenCounter;

/// How often ended answers are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// When to ask again after every place was taken; answers take seconds.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(2);

/// Messages that may wait for the actor; handling one takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// Owns admission and every generation, live or just ended.
pub struct LlmActor {
    answering: Arc<Answering>,
    /// Live answers, and ended ones for as long as their reader may come back.
    generations: HashMap<TurnId, Kept>,
    max_concurrency: usize,
    max_under_way: usize,
    draining: bool,
}

struct Kept {
    generation: Arc<Generation>,
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
    pub save_question: Post<SaveQuestion>,
    /// Where answers are stored.
    pub save_answer: Post<SaveAnswer>,
    /// Counts what becomes of answers.
    pub metrics: Arc<Metrics>,
    /// Counts the tokens of answers.
    pub counter: TokenCounter,
    /// How long an answer goes on with nobody listening, and is kept after its end.
    pub reconnect_grace: Duration,
    /// Answers at once.
    pub max_concurrency: usize,
    /// Questions that may wait beside them.
    pub max_queue: usize,
}

impl LlmActor {
    /// An actor without answers.
    #[must_use]
    pub fn new(parts: LlmParts) -> Self {
        let permits = Arc::new(Semaphore::new(parts.max_concurrency));
        let answering = Answering {
            sources: parts.sources,
            max_retries: parts.max_retries,
            first_word_timeout: parts.first_word_timeout,
            save_question: parts.save_question,
            save_answer: parts.save_answer,
            metrics: parts.metrics,
            counter: parts.counter,
            reconnect_grace: parts.reconnect_grace,
            permits,
            under_way: AtomicUsize::new(0),
            first_word_ms: AtomicU64::new(0),
            leave: CancellationToken::new(),
        };
        Self {
            answering: Arc::new(answering),
            generations: HashMap::new(),
            max_concurrency: parts.max_concurrency,
            max_under_way: parts.max_concurrency + parts.max_queue,
            draining: false,
        }
    }

    fn ask(&mut self, ask: AskModel) -> Result<Arc<Generation>, Failure> {
        if self.draining {
            return Err(ErrorCode::ShuttingDown.into());
        }
        let now = std::time::Instant::now();
        if let Some(failure) = self.answering.sources.refusal(now) {
            return Err(failure);
        }
        let Some(place) = Place::take(&self.answering, self.max_under_way) else {
            return Err(Failure::after(ErrorCode::Overloaded, RETRY_WHEN_FULL));
        };
        let mode = self.answering.sources.mode(now);
        let generation = Generation::new(ask.turn_id, ask.session_id, ask.client_id.clone(), mode);
        let kept = Kept { generation: Arc::clone(&generation), ended_at: None };
        self.generations.insert(ask.turn_id, kept);
        actix::spawn(Arc::clone(&self.answering).carry_through(ask, Arc::clone(&generation), place));
        Ok(generation)
    }

    fn live(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.generations.values().map(|kept| &kept.generation).filter(|generation| !generation.is_over())
    }

    fn sweep(&mut self) {
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

receives!(LlmActor, "llm", MAILBOX_CAPACITY);

impl Actor for LlmActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(SWEEP_INTERVAL, |actor, _| actor.sweep());
    }
}

impl Receive<AskModel> for LlmActor {
    fn receive(&mut self, ask: AskModel, _: &mut Self::Context) -> Reply<Result<Arc<Generation>, Failure>> {
        Reply::Now(self.ask(ask))
    }
}

impl Receive<FindGeneration> for LlmActor {
    fn receive(&mut self, find: FindGeneration, _: &mut Self::Context) -> Reply<Option<Arc<Generation>>> {
        let kept = self.generations.get(&find.turn_id);
        let generation = kept.map(|kept| &kept.generation).filter(|it| it.session_id == find.session_id);
        Reply::Now(generation.cloned())
    }
}

impl Receive<CheckModel> for LlmActor {
    fn receive(&mut self, _: CheckModel, _: &mut Self::Context) -> Reply<ModelCondition> {
        let under_way = self.answering.under_way.load(Ordering::Relaxed);
        let answering = self.max_concurrency.saturating_sub(self.answering.permits.available_permits());
        let now = std::time::Instant::now();
        Reply::Now(ModelCondition {
            answering,
            waiting: under_way.saturating_sub(answering),
            mode: self.answering.sources.mode(now),
            breaker: self.answering.sources.breaker(now),
            key: self.answering.sources.key(),
            first_word: match self.answering.first_word_ms.load(Ordering::Relaxed) {
                0 => None,
                millis => Some(Duration::from_millis(millis)),
            },
        })
    }
}

impl Receive<FinishAnswers> for LlmActor {
    fn receive(&mut self, finish: FinishAnswers, _: &mut Self::Context) -> Reply<()> {
        self.draining = true;
        let live: Vec<_> = self.live().cloned().collect();
        let leave = self.answering.leave.clone();
        Reply::later(async move {
            let all = || futures_util::future::join_all(live.iter().map(|generation| generation.over()));
            if timeout(finish.within, all()).await.is_err() {
                leave.cancel();
                // Each still stores what it has, which takes at most the store's patience.
                let _ = timeout(PATIENCE * 2, all()).await;
            }
        })
    }
}
