//! Whether, when and with which model to retry a failed request. A plain value.

use std::time::{Duration, Instant};

use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::system::backoff::Backoff;

/// The delays between retries, unless upstream asks for longer ones.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4)).with_jitter(0.5);

/// How often an answer may be requested.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The maximum number of retries after every model has failed.
    pub max_retries: u32,
    /// The number of models, at least 1. They are tried in order.
    pub model_count: usize,
}

/// The attempts at one answer so far.
#[derive(Debug)]
pub struct RetryState {
    policy: RetryPolicy,
    /// The index of the model of the last attempt.
    model: usize,
    /// How often all models were tried again.
    rounds: u32,
}

/// The properties of a failed attempt that decide about a retry.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt {
    pub kind: UpstreamErrorKind,
    /// Whether a retry helps, if upstream said so itself.
    pub upstream_retryable: Option<bool>,
    /// How long upstream asks clients to wait.
    pub retry_after: Option<Duration>,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    Retry {
        /// The index of the model to use.
        model: usize,
        delay: Duration,
    },
    /// A retry does not help, or not in time.
    GiveUp,
}

impl RetryState {
    /// Returns the state after the first attempt, which used model 0.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, model: 0, rounds: 0 }
    }

    /// Decides what follows an attempt that failed at `now`. No attempt starts at `deadline` or
    /// later. `random`, from 0 to 1, chooses the jitter.
    pub fn on_failure(
        &mut self,
        failed: FailedAttempt,
        now: Instant,
        deadline: Instant,
        random: f64,
    ) -> RetryDecision {
        let policy = failed.kind.policy();
        let (model, delay) = if policy.try_other_model && self.model + 1 < self.policy.model_count {
            (self.model + 1, Duration::ZERO)
        } else if failed.upstream_retryable.unwrap_or(policy.retry_upstream)
            && self.rounds < self.policy.max_retries
        {
            let delay = BACKOFF.delay(self.rounds, random);
            self.rounds += 1;
            (0, delay.max(failed.retry_after.unwrap_or_default()))
        } else {
            return RetryDecision::GiveUp;
        };
        self.model = model;
        match deadline.saturating_duration_since(now) <= delay {
            true => RetryDecision::GiveUp,
            false => RetryDecision::Retry { model, delay },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::VariantArray;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn failed(kind: UpstreamErrorKind) -> FailedAttempt {
        FailedAttempt { kind, upstream_retryable: None, retry_after: None }
    }

    fn state(max_retries: u32, model_count: usize) -> RetryState {
        RetryState::new(RetryPolicy { max_retries, model_count })
    }

    #[test]
    fn every_model_is_tried_in_order_before_the_first_is_retried() {
        let (mut state, now) = (state(1, 3), Instant::now());
        let failed = failed(UpstreamErrorKind::ServerError);
        let mut order = Vec::new();
        while let RetryDecision::Retry { model, .. } = state.on_failure(failed, now, now + TIMEOUT, 0.0) {
            order.push(model);
        }
        assert_eq!(order, [1, 2, 0, 1, 2]);
    }

    #[test]
    fn delays_double_have_jitter_and_respect_retry_after() {
        let now = Instant::now();
        let error = failed(UpstreamErrorKind::ServerError);
        for (random, delays) in [(0.0, [125, 250, 500]), (1.0, [250, 500, 1000])] {
            let mut state = state(3, 1);
            for delay in delays {
                let decision = state.on_failure(error, now, now + TIMEOUT, random);
                let delay = Duration::from_millis(delay);
                assert_eq!(decision, RetryDecision::Retry { model: 0, delay });
            }
            let decision = state.on_failure(error, now, now + TIMEOUT, random);
            assert_eq!(decision, RetryDecision::GiveUp);
        }
        let delay = Duration::from_secs(7);
        let advised = FailedAttempt { retry_after: Some(delay), ..failed(UpstreamErrorKind::RateLimited) };
        let decision = state(1, 1).on_failure(advised, now, now + TIMEOUT, 0.5);
        assert_eq!(decision, RetryDecision::Retry { model: 0, delay });
        let too_late = FailedAttempt { retry_after: Some(TIMEOUT), ..advised };
        let decision = state(1, 1).on_failure(too_late, now, now + TIMEOUT, 0.5);
        assert_eq!(decision, RetryDecision::GiveUp);
    }

    #[test]
    fn advice_of_the_upstream_overrides_the_policy() {
        let now = Instant::now();
        let permanent =
            FailedAttempt { upstream_retryable: Some(false), ..failed(UpstreamErrorKind::Overloaded) };
        assert_eq!(state(2, 1).on_failure(permanent, now, now + TIMEOUT, 0.0), RetryDecision::GiveUp);
        let transient =
            FailedAttempt { upstream_retryable: Some(true), ..failed(UpstreamErrorKind::Forbidden) };
        let decision = state(2, 1).on_failure(transient, now, now + TIMEOUT, 0.0);
        assert!(matches!(decision, RetryDecision::Retry { .. }));
    }

    proptest! {
        #[test]
        fn attempts_are_bounded_in_number_and_time(
            retries in 0_u32..4,
            models in 1_usize..4,
            kind in prop::sample::select(UpstreamErrorKind::VARIANTS),
            random in 0.0..1.0,
        ) {
            let (mut state, mut now) = (state(retries, models), Instant::now());
            let deadline = now + TIMEOUT;
            let mut attempts = 1;
            while let RetryDecision::Retry { model, delay } =
                state.on_failure(failed(kind), now, deadline, random)
            {
                prop_assert!(model < models && now + delay < deadline);
                now += delay;
                attempts += 1;
            }
            prop_assert!(attempts <= models * (usize::try_from(retries).unwrap() + 1));
        }
    }
}
