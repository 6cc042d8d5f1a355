//! Whether to ask again after a failure, whom, and when: a plain value.

use std::time::{Duration, Instant};

use crate::llm::upstream::error_class::Fault;

/// The first wait; each further one doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that is not the server's own wish.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// How often an answer may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Times to ask again when every model has failed.
    pub retries: u32,
    /// Models that are asked one after the other, at least 1.
    pub models: usize,
}

/// The tries at one answer.
#[derive(Debug)]
pub struct Tries {
    policy: RetryPolicy,
    /// The model that was asked last.
    model: usize,
    /// Times that all of them were asked again.
    rounds: u32,
}

/// What a failed try tells about the next.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// What went wrong.
    pub fault: Fault,
    /// Whether the server itself said that asking again helps.
    pub says_again: Option<bool>,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the model of this number after a wait.
    Ask {
        /// 0 for the first.
        model: usize,
        /// How long to wait.
        after: Duration,
    },
    /// Asking again does not help, or not in time.
    GiveUp,
}

impl Tries {
    /// None yet; the first asks model 0.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, model: 0, rounds: 0 }
    }

    /// What follows a try that failed at `now`. No try begins at `until` or later. `jitter`, from 0 to 1, spreads those
    /// who failed together.
    pub fn after(&mut self, failed: Failed, now: Instant, until: Instant, jitter: f64) -> Next {
        let Failed { fault, says_again, retry_after } = failed;
        let it = fault.consequences();
        let next = if it.other_model && self.model + 1 < self.policy.models {
            self.model += 1;
            Next::Ask { model: self.model, after: Duration::ZERO }
        } else if says_again.unwrap_or(it.again) && self.rounds < self.policy.retries {
            let doubled = FIRST_WAIT.saturating_mul(1 << self.rounds.min(10)).min(LONGEST_WAIT);
            let wait = doubled.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
            self.rounds += 1;
            self.model = 0;
            Next::Ask { model: 0, after: wait.max(retry_after.unwrap_or_default()) }
        } else {
            Next::GiveUp
        };
        match next {
            Next::Ask { after, .. } if until.saturating_duration_since(now) <= after => Next::GiveUp,
            next => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    fn failed(fault: Fault) -> Failed {
        Failed { fault, says_again: None, retry_after: None }
    }

    fn tries(retries: u32, models: usize) -> Tries {
        Tries::new(RetryPolicy { retries, models })
    }

    #[test]
    fn every_model_is_asked_in_order_before_the_first_is_asked_again() {
        let (mut it, now) = (tries(1, 3), Instant::now());
        let mut order = Vec::new();
        while let Next::Ask { model, .. } = it.after(failed(Fault::Failed), now, now + TIME, 0.0) {
            order.push(model);
        }
        assert_eq!(order, [1, 2, 0, 1, 2]);
    }

    #[test]
    fn waits_double_are_spread_and_are_as_long_as_the_server_wishes() {
        let now = Instant::now();
        for (jitter, waits) in [(0.0, [125, 250, 500]), (1.0, [250, 500, 1000])] {
            let mut it = tries(3, 1);
            for wait in waits {
                let next = it.after(failed(Fault::Failed), now, now + TIME, jitter);
                assert_eq!(next, Next::Ask { model: 0, after: Duration::from_millis(wait) });
            }
            assert_eq!(it.after(failed(Fault::Failed), now, now + TIME, jitter), Next::GiveUp);
        }
        let wish = Failed { retry_after: Some(Duration::from_secs(7)), ..failed(Fault::RateLimited) };
        let next = tries(1, 1).after(wish, now, now + TIME, 0.5);
        assert_eq!(next, Next::Ask { model: 0, after: Duration::from_secs(7) });
        let too_late = Failed { retry_after: Some(TIME), ..wish };
        assert_eq!(tries(1, 1).after(too_late, now, now + TIME, 0.5), Next::GiveUp);
    }

    #[test]
    fn the_servers_own_word_counts_more_than_the_table() {
        let now = Instant::now();
        let never = Failed { says_again: Some(false), ..failed(Fault::Overloaded) };
        assert_eq!(tries(2, 1).after(never, now, now + TIME, 0.0), Next::GiveUp);
        let again = Failed { says_again: Some(true), ..failed(Fault::Forbidden) };
        assert!(matches!(tries(2, 1).after(again, now, now + TIME, 0.0), Next::Ask { .. }));
    }

    proptest! {
        #[test]
        fn tries_end_in_number_and_in_time(retries in 0_u32..4, models in 1_usize..4, fault in 0_usize..17, jitter in 0.0..1.0) {
            let (mut it, mut now) = (tries(retries, models), Instant::now());
            let until = now + TIME;
            let mut asked = 1;
            while let Next::Ask { model, after } = it.after(failed(Fault::ALL[fault]), now, until, jitter) {
                prop_assert!(model < models && now + after < until);
                now += after;
                asked += 1;
            }
            prop_assert!(asked <= models * (usize::try_from(retries).unwrap() + 1));
        }
    }
}
