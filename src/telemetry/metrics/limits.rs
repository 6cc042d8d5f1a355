//! Metrics of rate limits and of the detection of prompt injection.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strum::VariantArray;

use super::group::{Counters, Labels, metrics, zeros};
use crate::domain::address_limit::{AddressLimit, TableOccupancy};

type Gauges = Family<Labels<1>, Gauge<i64, AtomicI64>>;

metrics! {
    /// Rate limits and the detection of prompt injection.
    pub struct LimitMetrics in "limits" {
        /// Requests rejected because a limit of the client address was reached, by limit.
        rejections: Counters<1> = zeros("limit", AddressLimit::VARIANTS.iter().map(|limit| limit.as_str())),
        /// Client addresses that are tracked individually, by the rate limit they are tracked for.
        tracked_addresses: Gauges = Gauges::default(),
        /// Rate-limit decisions made with the shared sketch because the per-address table was full.
        sketch_decisions: Counter = Counter::default(),
        /// Questions in which the prompt-injection detector found something, by category; one
        /// question can count for several.
        suspicious_questions: Counters<1> = Counters::default(),
    }
}

impl LimitMetrics {
    /// Counts a rejection.
    pub fn count_rejection(&self, limit: AddressLimit) {
        self.rejections.get_or_create(&[("limit", limit.as_str())]).inc();
    }

    /// Creates the counters of suspicious questions, so that they start at zero.
    pub fn declare_injection_categories(&self, categories: impl IntoIterator<Item = &'static str>) {
        for category in categories {
            drop(self.suspicious_questions.get_or_create(&[("category", category)]));
        }
    }

    /// Counts a suspicious question for each of its categories.
    pub fn count_suspicious(&self, categories: impl IntoIterator<Item = &'static str>) {
        for category in categories {
            self.suspicious_questions.get_or_create(&[("category", category)]).inc();
        }
    }

    /// Sets the metrics of the rate-limit tables.
    pub fn set_occupancy(&self, occupancy: TableOccupancy) {
        for (window, addresses) in
            [("questions", occupancy.question_addresses), ("sessions", occupancy.session_addresses)]
        {
            let addresses = i64::try_from(addresses).unwrap_or(i64::MAX);
            self.tracked_addresses.get_or_create(&[("window", window)]).set(addresses);
        }
        self.sketch_decisions.inc_by(occupancy.sketch_decisions.saturating_sub(self.sketch_decisions.get()));
    }
}
