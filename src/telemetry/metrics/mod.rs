//! The metrics of the server, and their OpenMetrics encoding.
//!
//! One [`Metrics`] is created at startup and shared. Its groups are structs whose doc comments are
//! the HELP texts of the metrics; `docs/metrics.md` lists them all. Names are
//! `resume_chatbot_<subsystem>_<noun>_<unit>`. Label values are known at compile time; no label
//! contains an id, an address or a text of a client. There is no global state.

mod budget;
mod group;
mod labels;
mod limits;
mod mailboxes;
mod process;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use strum::VariantArray;

pub use budget::{BudgetMetrics, CostLookup};
use group::{Counters, metrics, zeros};
pub use labels::{DegradedBy, IgnoredField, QueueRejection, RetryKind, UpstreamOutcome};
pub use limits::LimitMetrics;

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::telemetry::mailbox_metrics::MailboxRegistry;

/// All metrics of the server.
#[derive(Debug, Default)]
pub struct Metrics {
    pub http: HttpMetrics,
    pub session: SessionMetrics,
    pub answer: AnswerMetrics,
    pub budget: BudgetMetrics,
    pub upstream: UpstreamMetrics,
    pub store: StoreMetrics,
    pub limits: LimitMetrics,
    pub log: LogMetrics,
    pub actor: ActorMetrics,
    pub mailboxes: MailboxRegistry,
}

metrics! {
    /// HTTP requests.
    pub struct HttpMetrics in "http" {
        /// Requests refused because they were for an unknown host name.
        refused_hosts: Counter = Counter::default(),
    }
}

metrics! {
    /// Connections and sessions.
    pub struct SessionMetrics in "session" {
        /// Open connections: WebSockets and event streams.
        open_connections: Gauge = Gauge::default(),
        /// Maximum number of open connections: `MAX_CONNECTIONS`, or fewer if the limit of open
        /// files requires it.
        connections_max: Gauge = Gauge::default(),
        /// Sessions with an open connection.
        open_sessions: Gauge = Gauge::default(),
        /// Connections opened: WebSockets and event streams.
        connections: Counter = Counter::default(),
        /// Connections opened as event streams.
        event_streams: Counter = Counter::default(),
        /// Requests with frames for an event stream rejected because its session was busy.
        event_stream_queue_rejections: Counter = Counter::default(),
        /// Sessions started.
        opened_sessions: Counter = Counter::default(),
        /// Sessions resumed on another connection.
        resumed_sessions: Counter = Counter::default(),
        /// Connections closed because the client read too slowly.
        slow_consumer_closes: Counter = Counter::default(),
        /// Connections closed because the client sent too many frames.
        frame_rate_limit_closes: Counter = Counter::default(),
        /// Errors sent to clients over WebSocket or HTTP, by error code.
        errors: Counters<1> = zeros("code", ErrorCode::VARIANTS.iter().map(|code| code.as_str())),
    }
}

metrics! {
    /// Questions and their answers.
    pub struct AnswerMetrics in "answer" {
        /// Ended turns, by status and by what produced the answer.
        turns: Counters<2> = zero_turns(),
        /// Time from a question to the first token of its answer.
        time_to_first_token_seconds: Histogram = seconds(),
        /// Time from a question to the end of its answer, including storing it.
        duration_seconds: Histogram = seconds(),
        /// Tokens of all requests for ended answers, by kind; counted by the model server or else by
        /// this server.
        tokens: Counters<1> = zeros("kind", ["prompt", "completion"]),
        /// Ended turns whose tokens this server counted in part, because the model server did not
        /// report all of them.
        usage_estimated: Counter = Counter::default(),
        /// Questions answered with resume excerpts instead of the model, by reason.
        fallbacks: Counters<1> = zeros("reason", DegradedBy::VARIANTS.iter().map(|reason| reason.as_str())),
        /// Cost of answers in US dollars, as far as the model server reported it.
        cost_dollars: Counter<f64, std::sync::atomic::AtomicU64> = Counter::default(),
    }
}

metrics! {
    /// Requests to the model server.
    pub struct UpstreamMetrics in "upstream" {
        /// Ended requests to the model server, by outcome.
        requests: Counters<1> = zeros("outcome", UpstreamOutcome::VARIANTS.iter().map(|outcome| outcome.as_str())),
        /// Requests to the model server in progress.
        requests_in_flight: Gauge = Gauge::default(),
        /// Retries after a failed request, by kind: with the same model, another model or a shorter
        /// prompt.
        retries: Counters<1> = zeros("kind", RetryKind::VARIANTS.iter().map(|kind| kind.as_str())),
        /// Requests sent again on a new connection because the one kept open for reuse had died.
        reconnects: Counter = Counter::default(),
        /// Odd fields in responses of the model server, which were ignored, by kind.
        ignored: Counters<1> = zeros("kind", IgnoredField::VARIANTS.iter().map(|field| field.as_str())),
        /// Times that the circuit breaker opened.
        breaker_openings: Counter = Counter::default(),
        /// Questions waiting for a free request slot.
        queue_depth: Gauge = Gauge::default(),
        /// Questions rejected by the queue, by reason: it was full, or the question waited too
        /// long.
        queue_rejections: Counters<1> = zeros("reason", QueueRejection::VARIANTS.iter().map(|reason| reason.as_str())),
    }
}

metrics! {
    /// The database.
    pub struct StoreMetrics in "store" {
        /// Transactions committed by the writer.
        commits: Counter = Counter::default(),
        /// Writes committed.
        writes: Counter = Counter::default(),
        /// Writes per committed transaction.
        commit_batch_size: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 10)),
        /// Time from taking a batch of writes to its commit, including retries.
        commit_duration_seconds: Histogram = seconds(),
        /// Writes waiting for the writer.
        write_queue_depth: Gauge = Gauge::default(),
        /// 1 if the most recent attempt to write failed because the database was unavailable,
        /// otherwise 0.
        unavailable: Gauge = Gauge::default(),
        /// Open connections to the database.
        pool_connections: Gauge = Gauge::default(),
        /// Open connections to the database that are idle.
        pool_idle_connections: Gauge = Gauge::default(),
    }
}

metrics! {
    /// The log.
    pub struct LogMetrics in "log" {
        /// Log lines dropped because the queue was full.
        dropped_lines: Counter = Counter::default(),
    }
}

metrics! {
    /// Panics and restarts.
    pub struct ActorMetrics in "actor" {
        /// Panics, by actor or other component.
        panics: Counters<1> = zeros("actor", Component::VARIANTS.iter().map(|component| component.as_str())),
        /// Restarts after a panic, by actor or other component.
        restarts: Counters<1> = zeros("actor", Component::RESTARTED.iter().map(|component| component.as_str())),
    }
}

impl SessionMetrics {
    /// Counts an error sent to a client.
    pub fn count_error(&self, code: ErrorCode) {
        self.errors.get_or_create(&[("code", code.as_str())]).inc();
    }
}

impl AnswerMetrics {
    /// Counts an ended turn with its usage.
    pub fn count_turn(&self, status: TurnStatus, mode: AnswerMode, usage: &Usage) {
        self.turns.get_or_create(&[("status", status.as_str()), ("mode", mode.as_str())]).inc();
        for (kind, tokens) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
            self.tokens.get_or_create(&[("kind", kind)]).inc_by(tokens.into());
        }
        if usage.is_estimated() {
            self.usage_estimated.inc();
        }
        if let Some(cost) = usage.cost {
            self.cost_dollars.inc_by(cost);
        }
    }

    /// Counts a question answered with resume excerpts.
    pub fn count_fallback(&self, reason: DegradedBy) {
        self.fallbacks.get_or_create(&[("reason", reason.as_str())]).inc();
    }
}

impl UpstreamMetrics {
    /// Counts a question that the queue rejected.
    pub fn count_queue_rejection(&self, reason: QueueRejection) {
        self.queue_rejections.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Counts a retry.
    pub fn count_retry(&self, kind: RetryKind) {
        self.retries.get_or_create(&[("kind", kind.as_str())]).inc();
    }

    /// Counts fields that were ignored.
    pub fn count_ignored(&self, field: IgnoredField, count: u32) {
        self.ignored.get_or_create(&[("kind", field.as_str())]).inc_by(count.into());
    }

    /// Counts an ended request.
    pub fn count_request(&self, outcome: UpstreamOutcome) {
        self.requests.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }
}

impl ActorMetrics {
    /// Counts a panic.
    pub fn count_panic(&self, component: Component) {
        self.panics.get_or_create(&[("actor", component.as_str())]).inc();
    }

    /// Counts a restart.
    pub fn count_restart(&self, component: Component) {
        self.restarts.get_or_create(&[("actor", component.as_str())]).inc();
    }
}

/// Increments a gauge as long as it lives.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments the gauge.
    #[must_use]
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Encodes all metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never, because writing to a string does not fail.
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
        self.http.encode(&mut encoder)?;
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

/// Creates the counters of all combinations of final status and mode, at zero.
fn zero_turns() -> Counters<2> {
    use TurnStatus::{Cancelled, Complete, Failed, Interrupted, Length};
    let counters = Counters::default();
    for status in [Complete, Length, Cancelled, Interrupted, Failed] {
        for mode in [AnswerMode::Live, AnswerMode::Excerpts] {
            drop(counters.get_or_create(&[("status", status.as_str()), ("mode", mode.as_str())]));
        }
    }
    counters
}

/// Creates a histogram of durations that people wait for: one millisecond to two minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ])
}
