//! What visitors may take, in a scrape: refusals, how full the tables of addresses are, suspicious questions.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use strum::VariantArray;

use super::group::{Counters, metrics, zeros};
use crate::input_filter::injection::Category;
use crate::limits::{Limit, Occupancy};

metrics! {
    /// What visitors may take.
    pub struct LimitMetrics in "limits" {
        /// Requests of client addresses that were refused because a limit was used up, by which.
        refusals: Counters<1> = zeros("limit", Limit::VARIANTS.iter().map(|limit| limit.as_str())),
        /// Client addresses whose questions are counted apart.
        asking_addresses: Gauge = Gauge::default(),
        /// Client addresses whose new sessions are counted apart.
        starting_addresses: Gauge = Gauge::default(),
        /// Decisions made by counts which client addresses share, because too many are about: there is a flood.
        shared_decisions: Counter = Counter::default(),
        /// Questions that looked like an attempt to take over the model, by what was found in them; one may count for several.
        suspicious_questions: Counters<1> = zeros("category", Category::VARIANTS.iter().map(|category| category.as_str())),
    }
}

impl LimitMetrics {
    /// Counts a refusal.
    pub fn refused(&self, limit: Limit) {
        self.refusals.get_or_create(&[("limit", limit.as_str())]).inc();
    }

    /// Counts a suspicious question.
    pub fn suspicious(&self, categories: &[Category]) {
        for category in categories {
            self.suspicious_questions.get_or_create(&[("category", category.as_str())]).inc();
        }
    }

    /// Writes down how full the tables are.
    pub fn occupied(&self, now: Occupancy) {
        let count = |addresses: usize| i64::try_from(addresses).unwrap_or(i64::MAX);
        self.asking_addresses.set(count(now.question_addresses));
        self.starting_addresses.set(count(now.session_addresses));
        self.shared_decisions.inc_by(now.sketch_decisions.saturating_sub(self.shared_decisions.get()));
    }
}
