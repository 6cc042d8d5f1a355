//! The dependencies of all turns, and the state of one turn.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::BudgetTracker;
use crate::domain::clock::millis;
use crate::llm::messages::GenerateAnswer;
use crate::llm::router::Router;
use crate::llm::stream::generation::Generation;
use crate::llm::turn::store::TurnStore;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::Metrics;
use crate::tokens::TokenCounter;

/// The dependencies of turns, shared by all turns.
pub struct TurnContext {
    pub router: Arc<Router>,
    pub budget: Arc<BudgetTracker>,
    pub store: TurnStore,
    pub limits: TurnLimits,
    pub counter: TokenCounter,
    pub metrics: Arc<Metrics>,
    pub instance_id: InstanceId,
    /// Notified when a pending cost was stored.
    pub pending_cost_added: Arc<Notify>,
    pub time_to_first_text: LatestDuration,
    /// Cancelled to end every answer as interrupted.
    pub shutdown: CancellationToken,
}

/// The limits of one turn.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    /// The maximum number of retries of a request.
    pub max_retries: u32,
    /// How long all attempts together may take to the first text.
    pub first_text_timeout: Duration,
    /// How long an answer continues without a subscriber, and is kept after its end.
    pub reconnect_grace: Duration,
}

/// The newest measurement of a duration, in milliseconds.
#[derive(Debug, Default)]
pub struct LatestDuration(AtomicU64);

impl LatestDuration {
    pub(crate) fn set(&self, duration: Duration) {
        // 0 means that nothing was measured yet.
        self.0.store(millis(duration).max(1), Ordering::Relaxed);
    }

    /// Returns the newest measurement, or `None` if there was none yet.
    pub(crate) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }
}

/// One turn that is carried out by this process.
pub(crate) struct ActiveTurn {
    pub(crate) context: Arc<TurnContext>,
    pub(crate) request: GenerateAnswer,
    pub(crate) generation: Arc<Generation>,
    pub(crate) timings: TurnTimings,
}

impl ActiveTurn {
    pub(crate) fn new(
        context: Arc<TurnContext>,
        request: GenerateAnswer,
        generation: Arc<Generation>,
    ) -> Self {
        let timings = TurnTimings { started_at: Instant::now(), queue_time: Cell::new(None) };
        Self { context, request, generation, timings }
    }
}

/// How long the stages of a turn took.
pub(crate) struct TurnTimings {
    pub(crate) started_at: Instant,
    /// How long the question waited for the model; `None` if it was not sent to the model.
    pub(crate) queue_time: Cell<Option<Duration>>,
}
