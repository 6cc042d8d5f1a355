//! What is counted and measured, and how a scrape reads it.
//!
//! One [`Metrics`] is made at start and handed to whoever counts. Groups are structs whose doc comments are the HELP of
//! a scrape; `docs/metrics.md` lists them all. Names are `resume_chatbot_<subsystem>_<noun>_<unit>`, labels have few
//! values that are known when the program is compiled.
//!
//! What is absent: no global state, no label with an id, an address or a text of anybody.

mod budget;
mod group;
mod limits;
mod mailboxes;
mod process;

use std::fmt;
use std::sync::Arc;
use strum::VariantArray;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use budget::{BudgetMetrics, CostLookUp};
use group::{Counters, metrics, zeros};
pub use limits::LimitMetrics;

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::telemetry::mailbox_metrics::MailboxRegistry;

/// Everything that is measured.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Who is connected.
    pub session: SessionMetrics,
    /// Questions and their answers.
    pub answer: AnswerMetrics,
    /// What the day has cost.
    pub budget: BudgetMetrics,
    /// The model's server.
    pub upstream: UpstreamMetrics,
    /// The database.
    pub store: StoreMetrics,
    /// What visitors may take.
    pub limits: LimitMetrics,
    /// The log.
    pub log: LogMetrics,
    /// What has panicked.
    pub actor: ActorMetrics,
    /// The mailboxes of the actors.
    pub mailboxes: MailboxRegistry,
}

metrics! {
    /// Who is connected.
    pub struct SessionMetrics in "session" {
        /// WebSocket connections that are open.
        open_connections: Gauge = Gauge::default(),
        /// WebSocket connections that may be open: `MAX_CONNECTIONS`, or what the limit of open files carries.
        limit_connections: Gauge = Gauge::default(),
        /// Sessions that an open connection speaks for.
        open_sessions: Gauge = Gauge::default(),
        /// Handshakes that became WebSocket connections.
        connections: Counter = Counter::default(),
        /// Sessions that were begun.
        opened_sessions: Counter = Counter::default(),
        /// Sessions that were brought back on another connection.
        resumed_sessions: Counter = Counter::default(),
        /// Connections that were ended because their reader had stopped, or never caught up.
        slow_readers: Counter = Counter::default(),
        /// Connections that were ended because too many frames came.
        floods: Counter = Counter::default(),
        /// Errors that clients were told, over the WebSocket or HTTP, by their code.
        errors: Counters<1> = zeros("code", ErrorCode::VARIANTS.iter().map(|code| code.as_str())),
    }
}

metrics! {
    /// Questions and their answers.
    pub struct AnswerMetrics in "answer" {
        /// Turns that have ended, by how they ended and who answered.
        turns: Counters<2> = no_turns(),
        /// From a question's arrival at the model's actor to the first word of its answer.
        first_word_seconds: Histogram = seconds(),
        /// From a question's arrival at the model's actor to the end of its answer, with storing it.
        duration_seconds: Histogram = seconds(),
        /// Tokens of answers that have ended, as the model's server counts them if it does, prompts and completions apart.
        tokens: Counters<1> = zeros("kind", ["prompt", "completion"]),
        /// Questions that the resume answered instead of the model, by what kept the model from it.
        degraded: Counters<1> = zeros("reason", DegradedBy::ALL.map(DegradedBy::as_str)),
        /// What answers have cost, as far as the model's server said so.
        cost_dollars: Counter<f64, std::sync::atomic::AtomicU64> = Counter::default(),
    }
}

metrics! {
    /// The model's server.
    pub struct UpstreamMetrics in "upstream" {
        /// Answers asked of the model's server, by how they came out.
        requests: Counters<1> = zeros("outcome", UpstreamOutcome::ALL.map(UpstreamOutcome::as_str)),
        /// Answers that the model's server is being asked for.
        requests_in_flight: Gauge = Gauge::default(),
        /// Times that an answer was asked for once more after a failure: of the first model, of another, or with a shorter prompt.
        retries: Counters<1> = zeros("kind", Retry::ALL.map(Retry::as_str)),
        /// Times that the breaker opened, after which nobody asks the model's server for a while.
        breaker_openings: Counter = Counter::default(),
        /// Questions that wait for their turn to be asked.
        questions_waiting: Gauge = Gauge::default(),
        /// Questions that were turned away from the line in front of the model, at once or after waiting too long.
        line_refusals: Counters<1> = zeros("when", ["at_once", "after_waiting"]),
    }
}

metrics! {
    /// The database.
    pub struct StoreMetrics in "store" {
        /// Transactions that were committed.
        commits: Counter = Counter::default(),
        /// Writes that were committed.
        writes: Counter = Counter::default(),
        /// Writes in each transaction that was committed.
        commit_writes: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 10)),
        /// From taking a group of writes to its commit, with the waits for a database that is away.
        commit_duration_seconds: Histogram = seconds(),
        /// Writes that wait for the database.
        waiting_writes: Gauge = Gauge::default(),
        /// Whether the last try to write failed because the database was away: 1 or 0.
        away: Gauge = Gauge::default(),
        /// Connections to the database that are open.
        pool_connections: Gauge = Gauge::default(),
        /// Open connections to the database that nobody uses.
        pool_idle_connections: Gauge = Gauge::default(),
    }
}

metrics! {
    /// The log.
    pub struct LogMetrics in "log" {
        /// Lines of the log that were dropped because too many were waiting to be written.
        dropped_lines: Counter = Counter::default(),
    }
}

metrics! {
    /// What has panicked.
    pub struct ActorMetrics in "actor" {
        /// Panics, by the part of the server whose code it was; answers, the writer and others are counted like actors.
        panics: Counters<1> = zeros("actor", Component::VARIANTS.iter().map(|component| component.as_str())),
        /// Parts that were made anew after a panic.
        restarts: Counters<1> = zeros("actor", Component::RESTARTED.iter().map(|component| component.as_str())),
    }
}

/// How an answer of the model's server came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// It came to its end.
    Answered,
    /// The visitor stopped it, nobody listened any more, or this server left.
    Stopped,
    /// The server refused or failed.
    Failed,
    /// The server was silent for too long.
    TimedOut,
    /// The server had too much to do.
    Overloaded,
    /// The account of the key is exhausted.
    Exhausted,
    /// The server refused the content.
    Rejected,
}

impl UpstreamOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Stopped,
        Self::Failed,
        Self::TimedOut,
        Self::Overloaded,
        Self::Exhausted,
        Self::Rejected,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Overloaded => "overloaded",
            Self::Exhausted => "exhausted",
            Self::Rejected => "rejected",
        }
    }
}

/// How an answer was asked for once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Of the first model.
    Again,
    /// Of another model.
    OtherModel,
    /// With a shorter prompt.
    ShorterPrompt,
}

impl Retry {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Again, Self::OtherModel, Self::ShorterPrompt];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::OtherModel => "other_model",
            Self::ShorterPrompt => "shorter_prompt",
        }
    }
}

/// What kept the model from answering a question that the resume then answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DegradedBy {
    /// Its server failed so often that it is not asked for a while.
    BreakerOpen,
    /// Its server failed before the first word.
    ModelFailed,
    /// What the day may cost is used up.
    BudgetSpent,
}

impl DegradedBy {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::BreakerOpen, Self::ModelFailed, Self::BudgetSpent];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::ModelFailed => "model_failed",
            Self::BudgetSpent => "budget_spent",
        }
    }
}

impl From<ErrorCode> for UpstreamOutcome {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::ApiTimeout => Self::TimedOut,
            ErrorCode::Overloaded => Self::Overloaded,
            ErrorCode::BudgetExceeded => Self::Exhausted,
            ErrorCode::ContentRejected => Self::Rejected,
            _ => Self::Failed,
        }
    }
}

impl SessionMetrics {
    /// Counts an error that a client is told.
    pub fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&[("code", code.as_str())]).inc();
    }
}

impl AnswerMetrics {
    /// Counts a turn that has ended.
    pub fn ended(&self, status: TurnStatus, mode: AnswerMode, usage: &Usage) {
        self.turns.get_or_create(&[("status", status.as_str()), ("mode", mode.as_str())]).inc();
        for (kind, tokens) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
            self.tokens.get_or_create(&[("kind", kind)]).inc_by(tokens.into());
        }
        if let Some(cost) = usage.cost {
            self.cost_dollars.inc_by(cost);
        }
    }
}

impl AnswerMetrics {
    /// Counts a question that the resume answered instead of the model.
    pub fn degraded(&self, reason: DegradedBy) {
        self.degraded.get_or_create(&[("reason", reason.as_str())]).inc();
    }
}

impl UpstreamMetrics {
    /// Counts a question that was turned away from the line.
    pub fn turned_away(&self, after_waiting: bool) {
        let when = if after_waiting { "after_waiting" } else { "at_once" };
        self.line_refusals.get_or_create(&[("when", when)]).inc();
    }

    /// Counts an answer that is asked for once more.
    pub fn retry(&self, kind: Retry) {
        self.retries.get_or_create(&[("kind", kind.as_str())]).inc();
    }

    /// Counts an answer of the model's server.
    pub fn outcome(&self, outcome: UpstreamOutcome) {
        self.requests.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }
}

impl ActorMetrics {
    /// Counts a panic.
    pub fn panicked(&self, part: Component) {
        self.panics.get_or_create(&[("actor", part.as_str())]).inc();
    }

    /// Counts a part that is made anew.
    pub fn restarted(&self, part: Component) {
        self.restarts.get_or_create(&[("actor", part.as_str())]).inc();
    }
}

/// Counts one more for as long as it lives.
#[derive(Debug)]
pub struct Presence(Gauge);

impl Presence {
    /// Counts from now on.
    #[must_use]
    pub fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// What a scrape is answered with: OpenMetrics text.
    ///
    /// # Errors
    /// Never; writing to memory does not fail.
    pub fn scrape(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.session.encode(&mut encoder)?;
        self.answer.encode(&mut encoder)?;
        self.budget.encode(&mut encoder)?;
        self.upstream.encode(&mut encoder)?;
        self.store.encode(&mut encoder)?;
        self.limits.encode(&mut encoder)?;
        self.log.encode(&mut encoder)?;
        self.actor.encode(&mut encoder)?;
        mailboxes::encode(&self.mailboxes, &mut encoder)?;
        process::encode(&mut encoder)
    }
}

/// Every way in which a turn ends, at zero.
fn no_turns() -> Counters<2> {
    use TurnStatus::{Cancelled, Complete, Failed, Interrupted, Length};
    let counters = Counters::default();
    for status in [Complete, Length, Cancelled, Interrupted, Failed] {
        for mode in [AnswerMode::Live, AnswerMode::Excerpts] {
            drop(counters.get_or_create(&[("status", status.as_str()), ("mode", mode.as_str())]));
        }
    }
    counters
}

/// Bounds for what people wait for: a millisecond to about two minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ])
}
