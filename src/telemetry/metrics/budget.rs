//! What the day has cost, in a scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;

use super::group::{Counters, metrics, zeros};
use crate::budget::amount::dollars;
use crate::budget::{Scope, Spending};
use crate::domain::clock::Timestamp;

type Dollars = Gauge<f64, AtomicU64>;

metrics! {
    /// What the day has cost.
    pub struct BudgetMetrics in "budget" {
        /// Tokens that ended answers have taken today (UTC), with what earlier processes left in the store.
        taken_tokens: Gauge = Gauge::default(),
        /// Tokens that are set aside for answers under way.
        set_aside_tokens: Gauge = Gauge::default(),
        /// Tokens that a day may take; 0 for no limit.
        limit_tokens: Gauge = Gauge::default(),
        /// What ended answers have cost today (UTC), by the model's server or else by the prices that were set.
        taken_dollars: Dollars = Dollars::default(),
        /// What is set aside for answers under way, by the prices that were set.
        set_aside_dollars: Dollars = Dollars::default(),
        /// What a day may cost; 0 for no limit.
        limit_dollars: Dollars = Dollars::default(),
        /// Questions, and second requests for one answer, that found a budget used up, by whose.
        refusals: Counters<1> = zeros("limit", Scope::ALL.map(Scope::as_str)),
        /// Requests that were broken off, of which the model's server has still to tell what they cost.
        owed_costs: Gauge = Gauge::default(),
        /// Askings for such a cost, by what became of them.
        cost_lookups: Counters<1> = zeros("outcome", CostLookUp::ALL.map(CostLookUp::as_str)),
    }
}

/// What became of asking the model's server for the cost of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostLookUp {
    /// It was told, and the accounts are corrected.
    Corrected,
    /// It is not known there, yet.
    NotThere,
    /// The server did not answer, or with something else.
    Untold,
    /// It will not be asked for any more.
    GivenUp,
}

impl CostLookUp {
    const ALL: [Self; 4] = [Self::Corrected, Self::NotThere, Self::Untold, Self::GivenUp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::NotThere => "not_there",
            Self::Untold => "untold",
            Self::GivenUp => "given_up",
        }
    }
}

impl BudgetMetrics {
    /// Counts a refusal.
    pub fn refused(&self, scope: Scope) {
        self.refusals.get_or_create(&[("limit", scope.as_str())]).inc();
    }

    /// Counts what became of looking a cost up.
    pub fn looked_up(&self, outcome: CostLookUp) {
        self.cost_lookups.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// Writes down how the day's account stands.
    pub fn stands(&self, spending: &Spending, now: Timestamp) {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let (taken, set_aside) = spending.standing(now);
        self.taken_tokens.set(count(taken.tokens));
        self.set_aside_tokens.set(count(set_aside.tokens));
        self.limit_tokens.set(count(spending.budget.day.tokens.unwrap_or(0)));
        self.taken_dollars.set(dollars(taken.nanodollars));
        self.set_aside_dollars.set(dollars(set_aside.nanodollars));
        self.limit_dollars.set(dollars(spending.budget.day.nanodollars.unwrap_or(0)));
    }
}
