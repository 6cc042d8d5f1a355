//! What the model's server has still to tell of an answer: what the requests cost that were broken off.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Account;
use crate::domain::clock::Timestamp;
use crate::domain::turn::Usage;
use crate::llm::stream::generation::Generation;
use crate::llm::turn::task::Answering;
use crate::persistence::records::{PendingCost, RequestOutcome};

/// How long after a request was broken off its cost is asked for; it is not known at once.
pub(crate) const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Times that a cost is asked for, in all about eleven hours.
const MAX_TRIES: u32 = 20;

/// How long to wait after so many tries, each wait twice the one before and shortened by up to half by `jitter`, from 0 to 1;
/// `None` when it is no use any more.
pub(crate) fn wait_after(tries: u32, jitter: f64) -> Option<Duration> {
    let doubled = FIRST_WAIT.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT);
    (tries < MAX_TRIES).then(|| doubled.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0))
}

impl Answering {
    /// The costs that are owed for an answer that has ended: those of void requests, and its own where the server did not tell its
    /// usage, in place of which `unsaid` is counted.
    pub(crate) fn owed_for(
        &self,
        generation: &Generation,
        accounts: &[Account],
        unsaid: Option<Usage>,
    ) -> Vec<PendingCost> {
        if !self.sources.tells_costs() {
            return Vec::new();
        }
        let now = Timestamp::now();
        let owed = |upstream_id: Arc<str>, outcome, usage: &Usage| PendingCost {
            turn_id: generation.turn_id,
            upstream_id,
            outcome,
            accounts: accounts.to_vec(),
            charged: self.spending.used_amount(usage),
            charged_by: self.incarnation.name(),
            charged_at: now,
            attempts: 0,
            due_at: now.plus(FIRST_WAIT),
        };
        let own =
            generation.source_id().zip(unsaid).map(|(id, usage)| owed(id, RequestOutcome::Answered, &usage));
        let void = generation.void_requests();
        void.iter()
            .map(|(id, usage)| owed(Arc::clone(id), RequestOutcome::Discarded, usage))
            .chain(own)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_end() {
        let seconds = |tries, jitter| wait_after(tries, jitter).map(|wait| wait.as_secs());
        assert_eq!(
            [0, 1, 2, 10, 11, 19].map(|tries| seconds(tries, 0.0)),
            [2, 4, 8, 2048, 3600, 3600].map(Some)
        );
        assert_eq!((seconds(2, 1.0), seconds(20, 0.0)), (Some(4), None));
        let all: u64 = (0..MAX_TRIES).filter_map(|tries| seconds(tries, 0.0)).sum();
        assert_eq!(all / 3600, 10, "hours");
    }
}
