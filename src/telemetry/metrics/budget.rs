//! Metrics of the token budget.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use strum::{IntoStaticStr, VariantArray};

use super::group::{Counters, metrics, zeros};
use crate::domain::budget_scope::BudgetScope;

type Dollars = Gauge<f64, AtomicU64>;

metrics! {
    /// The token budget.
    pub struct BudgetMetrics in "budget" {
        /// Tokens used by ended answers of the day (UTC), including what the store held when this
        /// process started.
        used_tokens: Gauge = Gauge::default(),
        /// Tokens reserved for answers in progress.
        reserved_tokens: Gauge = Gauge::default(),
        /// Daily token limit; 0 if unlimited.
        limit_tokens: Gauge = Gauge::default(),
        /// Cost in US dollars of the ended answers of the day (UTC), as reported by the model
        /// server or else by the known prices.
        used_dollars: Dollars = Dollars::default(),
        /// US dollars reserved for answers in progress, by the known prices.
        reserved_dollars: Dollars = Dollars::default(),
        /// Daily cost limit in US dollars; 0 if unlimited.
        limit_dollars: Dollars = Dollars::default(),
        /// Questions and retries rejected because a budget was exhausted, by the scope of the
        /// budget.
        rejections: Counters<1> = zeros("scope", BudgetScope::VARIANTS.iter().map(|scope| scope.as_str())),
        /// Aborted requests whose cost the model server has not reported yet.
        pending_costs: Gauge = Gauge::default(),
        /// Lookups of the cost of aborted requests, by outcome.
        cost_lookups: Counters<1> = zeros("outcome", CostLookup::VARIANTS.iter().map(|outcome| outcome.into_str())),
    }
}

/// The outcome of asking the model server for the cost of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum CostLookup {
    /// The server reported the cost, and the accounts were corrected.
    Corrected,
    /// The server has no record of the request, or not yet.
    NotFound,
    /// The server did not respond, or with an invalid response.
    Failed,
    /// The last attempt failed; the estimate stays.
    Abandoned,
}

impl BudgetMetrics {
    /// Counts a rejection.
    pub fn count_rejection(&self, scope: BudgetScope) {
        self.rejections.get_or_create(&[("scope", scope.as_str())]).inc();
    }

    /// Counts a cost lookup.
    pub fn count_cost_lookup(&self, outcome: CostLookup) {
        self.cost_lookups.get_or_create(&[("outcome", outcome.into_str())]).inc();
    }
}
