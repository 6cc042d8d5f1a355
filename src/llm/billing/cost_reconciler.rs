//! The task that asks the model's server for the costs it has still to tell, and corrects the accounts.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::budget::ReportedCost;
use crate::domain::clock::Timestamp;
use crate::llm::billing::pending_cost::wait_after;
use crate::llm::router::Sources;
use crate::llm::upstream::generation_cost::CostError;
use crate::mailbox::Address;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::{FindPendingCosts, UpdatePendingCost};
use crate::persistence::records::{PendingCost, PendingCostUpdate, PendingCosts};
use crate::telemetry::metrics::{CostLookup, Metrics};

/// Costs that are looked at by one query; they are asked for one after another.
const BATCH: usize = 16;

/// Costs that may be owed. When there are more, the oldest are given up.
const MOST_OWED: u64 = 10_000;

/// Between two requests: nobody waits for them.
const PAUSE: Duration = Duration::from_millis(200);

/// After a server that did not tell, unless it wishes for more.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How often the store is looked through, in case that another server has left something.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Asks for what is owed.
pub struct CostCollector {
    /// Whom to ask.
    pub sources: Arc<Sources>,
    /// Where owed costs are found.
    pub find: Address<FindPendingCosts>,
    /// Where they are corrected.
    pub change: Address<UpdatePendingCost>,
    /// Told when there is a new one.
    pub cost_owed: Arc<Notify>,
    /// Counts what becomes of them.
    pub metrics: Arc<Metrics>,
    /// Which process this is.
    pub incarnation: Arc<str>,
    /// When it began.
    pub began_at: Timestamp,
    /// The log.
    pub log: Logger,
}

impl CostCollector {
    /// Goes on for ever; at once done where the model's server tells no costs.
    pub async fn run(&self) {
        if !self.sources.tells_costs() {
            return;
        }
        loop {
            let pause = self.collect().await;
            let _ = timeout(pause, self.cost_owed.notified()).await;
        }
    }

    /// Asks for what is due; says how long to wait for what is not.
    async fn collect(&self) -> Duration {
        let now = Timestamp::now();
        let find = FindPendingCosts { now, max_due: BATCH, max_kept: MOST_OWED };
        let Ok(Ok(found)) = self.find.ask(find, STORE_TIMEOUT).await else { return LONGEST_PAUSE };
        let PendingCosts { due, next_due, surplus, total } = found;
        self.metrics.budget.pending_costs.set(i64::try_from(total).unwrap_or(i64::MAX));
        for owed in &surplus {
            self.give_up(owed, "too many are owed").await;
        }
        for owed in &due {
            if let Some(pause) = self.ask_for(owed).await {
                sleep(pause).await;
                return Duration::ZERO;
            }
            sleep(PAUSE).await;
        }
        match next_due {
            _ if !due.is_empty() || !surplus.is_empty() => Duration::ZERO,
            Some(next) => next.since(now).min(LONGEST_PAUSE),
            None => LONGEST_PAUSE,
        }
    }

    /// Says how long to leave the server alone, when it does not tell.
    async fn ask_for(&self, owed: &PendingCost) -> Option<Duration> {
        // Without randomness everybody waits the same.
        let jitter = getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX));
        let tries = owed.attempts.saturating_add(1);
        let next = wait_after(tries, jitter);
        // Taken first: of several servers one asks, and one that ends meanwhile leaves it to the next.
        let due_at = Timestamp::now().plus(next.unwrap_or(LONGEST_PAUSE));
        if !self
            .changed(
                owed,
                PendingCostUpdate::Reschedule { expected_attempts: owed.attempts, attempts: tries, due_at },
            )
            .await
        {
            return None;
        }
        let error = match self.sources.cost(&owed.upstream_id).await? {
            Ok(cost) => {
                self.correct(owed, cost).await;
                return None;
            }
            Err(error) => error,
        };
        let (outcome, pause) = match &error {
            CostError::NotThere => (CostLookup::NotFound, None),
            CostError::Untold { retry_after, .. } => {
                (CostLookup::Failed, Some(retry_after.unwrap_or_default().max(PAUSE_AFTER_FAILURE)))
            }
        };
        if next.is_none() {
            self.give_up(owed, &error.to_string()).await;
        } else {
            self.metrics.budget.count_cost_lookup(outcome);
        }
        pause
    }

    async fn correct(&self, owed: &PendingCost, cost: ReportedCost) {
        if !self.changed(owed, PendingCostUpdate::Resolve(cost)).await {
            return;
        }
        let taken = cost.amount(owed.charged);
        if let Some(spending) = self.sources.spending() {
            // What another server has counted since this one read the accounts is not in them.
            if *owed.charged_by == *self.incarnation || owed.charged_at < self.began_at {
                spending.correct(&owed.accounts, owed.charged, taken);
            } else {
                spending.invalidate(&owed.accounts);
            }
        }
        self.metrics.budget.count_cost_lookup(CostLookup::Corrected);
        info!(self.log, "the cost of a request that was broken off is known";
            "turn_id" => owed.turn_id.to_string(), "source_id" => &*owed.upstream_id, "tries" => owed.attempts + 1,
            "counted_tokens" => owed.charged.tokens, "tokens" => taken.tokens, "dollars" => cost.dollars);
    }

    async fn give_up(&self, owed: &PendingCost, why: &str) {
        if self.changed(owed, PendingCostUpdate::Abandon).await {
            self.metrics.budget.count_cost_lookup(CostLookup::Abandoned);
            warn!(self.log, "the cost of a request that was broken off stays as it was counted";
                "turn_id" => owed.turn_id.to_string(), "source_id" => &*owed.upstream_id, "cause" => why,
                "tries" => owed.attempts, "counted_tokens" => owed.charged.tokens);
        }
    }

    async fn changed(&self, owed: &PendingCost, change: PendingCostUpdate) -> bool {
        let change = UpdatePendingCost {
            turn_id: owed.turn_id,
            upstream_id: Arc::clone(&owed.upstream_id),
            update: change,
        };
        matches!(self.change.ask(change, STORE_TIMEOUT).await, Ok(Ok(true)))
    }
}
