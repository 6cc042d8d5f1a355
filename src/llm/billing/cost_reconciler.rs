//! The task that looks up pending costs at the upstream server and corrects the accounts.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::budget::ReportedCost;
use crate::domain::clock::Timestamp;
use crate::llm::billing::pending_cost::lookup_delay;
use crate::llm::router::Router;
use crate::llm::upstream::account::generation_cost::CostError;
use crate::mailbox::Address;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::{FindPendingCosts, UpdatePendingCost};
use crate::persistence::records::{PendingCost, PendingCostUpdate, PendingCosts};
use crate::system::backoff::random_fraction;
use crate::telemetry::metrics::{CostLookup, Metrics};

/// The maximum number of costs that one query returns. They are looked up one after another.
const BATCH_SIZE: usize = 16;

/// The maximum number of pending costs. The oldest ones beyond it are abandoned.
const MAX_PENDING: u64 = 10_000;

/// The pause between two lookups, which are not urgent.
const PAUSE: Duration = Duration::from_millis(200);

/// The minimum pause after a lookup that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// The maximum time between two queries of the store. Other instances may add pending costs.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Reconciles pending costs with the costs that upstream reports.
pub struct CostReconciler {
    pub router: Arc<Router>,
    pub find_pending_costs: Address<FindPendingCosts>,
    pub update_pending_cost: Address<UpdatePendingCost>,
    /// Notified when a pending cost was stored.
    pub pending_cost_added: Arc<Notify>,
    pub metrics: Arc<Metrics>,
    /// The name of this instance.
    pub instance_name: Arc<str>,
    /// When this process started.
    pub started_at: Timestamp,
    pub log: Logger,
}

impl CostReconciler {
    /// Runs forever, or returns at once if upstream reports no costs.
    pub async fn run(&self) {
        if !self.router.reports_costs() {
            return;
        }
        loop {
            let pause = self.reconcile_due().await;
            let _ = timeout(pause, self.pending_cost_added.notified()).await;
        }
    }

    /// Looks up the costs that are due. Returns how long to wait for the next ones.
    async fn reconcile_due(&self) -> Duration {
        let now = Timestamp::now();
        let find = FindPendingCosts { now, max_due: BATCH_SIZE, max_kept: MAX_PENDING };
        let Ok(Ok(found)) = self.find_pending_costs.ask(find, STORE_TIMEOUT).await else { return MAX_PAUSE };
        let PendingCosts { due, next_due, surplus, total } = found;
        self.metrics.budget.pending_costs.set(i64::try_from(total).unwrap_or(i64::MAX));
        for cost in &surplus {
            self.abandon(cost, "too many costs are pending").await;
        }
        for cost in &due {
            if let Some(pause) = self.reconcile(cost).await {
                sleep(pause).await;
                return Duration::ZERO;
            }
            sleep(PAUSE).await;
        }
        match next_due {
            _ if !due.is_empty() || !surplus.is_empty() => Duration::ZERO,
            Some(next) => next.since(now).min(MAX_PAUSE),
            None => MAX_PAUSE,
        }
    }

    /// Looks up one cost. Returns how long to pause if the server failed to report it.
    async fn reconcile(&self, pending: &PendingCost) -> Option<Duration> {
        let tries = pending.attempts.saturating_add(1);
        let next_delay = lookup_delay(tries, random_fraction());
        // Rescheduled before the lookup, so that only one instance looks the cost up, and it stays
        // pending if this instance stops meanwhile.
        let due_at = Timestamp::now().plus(next_delay.unwrap_or(MAX_PAUSE));
        if !self
            .update(
                pending,
                PendingCostUpdate::Reschedule {
                    expected_attempts: pending.attempts,
                    attempts: tries,
                    due_at,
                },
            )
            .await
        {
            return None;
        }
        let error = match self.router.request_cost(&pending.upstream_id).await? {
            Ok(cost) => {
                self.correct(pending, cost).await;
                return None;
            }
            Err(error) => error,
        };
        let (outcome, pause) = match &error {
            CostError::NotFound => (CostLookup::NotFound, None),
            CostError::Unavailable { retry_after, .. } => {
                (CostLookup::Failed, Some(retry_after.unwrap_or_default().max(PAUSE_AFTER_FAILURE)))
            }
        };
        if next_delay.is_none() {
            self.abandon(pending, &error.to_string()).await;
        } else {
            self.metrics.budget.count_cost_lookup(outcome);
        }
        pause
    }

    async fn correct(&self, pending: &PendingCost, cost: ReportedCost) {
        if !self.update(pending, PendingCostUpdate::Resolve(cost)).await {
            return;
        }
        let actual = cost.amount(pending.charged);
        if let Some(budget) = self.router.budget() {
            // This instance's cache does not contain what another instance has charged since it was
            // loaded.
            if *pending.charged_by == *self.instance_name || pending.charged_at < self.started_at {
                budget.correct(&pending.accounts, pending.charged, actual);
            } else {
                budget.invalidate(&pending.accounts);
            }
        }
        self.metrics.budget.count_cost_lookup(CostLookup::Corrected);
        info!(self.log, "pending cost reconciled"; "turn_id" => pending.turn_id.to_string(),
            "source_id" => &*pending.upstream_id, "tries" => pending.attempts + 1,
            "counted_tokens" => pending.charged.tokens, "tokens" => actual.tokens, "dollars" => cost.dollars);
    }

    /// Stops looking up a cost; the estimate remains counted.
    async fn abandon(&self, pending: &PendingCost, reason: &str) {
        if self.update(pending, PendingCostUpdate::Abandon).await {
            self.metrics.budget.count_cost_lookup(CostLookup::Abandoned);
            warn!(self.log, "pending cost abandoned, keeping the estimate";
                "turn_id" => pending.turn_id.to_string(), "source_id" => &*pending.upstream_id,
                "cause" => reason, "tries" => pending.attempts, "counted_tokens" => pending.charged.tokens);
        }
    }

    /// Changes a pending cost in the store. Returns whether it was still unchanged there.
    async fn update(&self, pending: &PendingCost, change: PendingCostUpdate) -> bool {
        let upstream_id = Arc::clone(&pending.upstream_id);
        let change = UpdatePendingCost { turn_id: pending.turn_id, upstream_id, update: change };
        matches!(self.update_pending_cost.ask(change, STORE_TIMEOUT).await, Ok(Ok(true)))
    }
}
