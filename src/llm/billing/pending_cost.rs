//! The costs that upstream has not reported when an answer ends: those of aborted requests.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Account, BudgetTracker, RequestTokens};
use crate::domain::clock::Timestamp;
use crate::domain::ids::TurnId;
use crate::llm::stream::snapshot::UsedRequest;
use crate::persistence::records::PendingCost;
use crate::system::backoff::Backoff;

/// The delay before the first lookup of a cost; upstream computes it some time after the request.
const FIRST_DELAY: Duration = Duration::from_secs(2);

/// The delays between two lookups of a cost.
const BACKOFF: Backoff = Backoff::new(FIRST_DELAY, Duration::from_secs(60 * 60)).with_jitter(0.5);

/// The maximum number of lookups of a cost, within about eleven hours.
const MAX_LOOKUPS: u32 = 20;

/// Returns how long to wait after `lookups` lookups, or `None` after the last one. `random`, from 0
/// to 1, chooses the jitter.
pub(crate) fn lookup_delay(lookups: u32, random: f64) -> Option<Duration> {
    (lookups < MAX_LOOKUPS).then(|| BACKOFF.delay(lookups, random))
}

/// Where the costs of a turn are counted.
pub(crate) struct CostAccounting<'a> {
    pub(crate) budget: &'a BudgetTracker,
    pub(crate) accounts: &'a [Account],
    /// The name of this instance.
    pub(crate) charged_by: Arc<str>,
}

impl CostAccounting<'_> {
    /// Returns the pending costs of an answer that has ended: one for each request about which
    /// upstream has reported too little.
    pub(crate) fn pending_costs(&self, turn_id: TurnId, requests: &[UsedRequest]) -> Vec<PendingCost> {
        let now = Timestamp::now();
        let pending = |request: &UsedRequest| {
            let usage = &request.usage;
            Some(PendingCost {
                turn_id,
                upstream_id: Arc::clone(request.upstream_id.as_ref()?),
                accounts: self.accounts.to_vec(),
                charged: self.budget.used_amount(usage),
                estimate: RequestTokens { prompt: usage.prompt_tokens, completion: usage.completion_tokens },
                charged_by: Arc::clone(&self.charged_by),
                charged_at: now,
                attempts: 0,
                due_at: now.plus(FIRST_DELAY),
            })
        };
        requests.iter().filter(|request| request.is_unreported()).filter_map(pending).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_delays_double_up_to_an_hour_and_end() {
        let seconds = |lookups, random| lookup_delay(lookups, random).map(|delay| delay.as_secs());
        assert_eq!(
            [0, 1, 2, 10, 11, 19].map(|lookups| seconds(lookups, 1.0)),
            [2, 4, 8, 2048, 3600, 3600].map(Some)
        );
        assert_eq!((seconds(2, 0.0), seconds(20, 1.0)), (Some(4), None));
        let total: u64 = (0..MAX_LOOKUPS).filter_map(|lookups| seconds(lookups, 1.0)).sum();
        assert_eq!(total / 3600, 10, "hours");
    }
}
