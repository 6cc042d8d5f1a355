//! A circuit breaker for the upstream server. A plain value.
//!
//! While the breaker is closed, all requests pass. After a number of consecutive failures it opens
//! and rejects requests. After a pause one request passes as a probe: its success closes the
//! breaker, its failure opens it again, for twice as long.

use std::time::{Duration, Instant};

use crate::system::backoff::Backoff;

/// The maximum pause, so that an outage is probed several times per hour.
pub const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The maximum time between two failures of the same outage.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// The number of consecutive failures, each within [`FAILURE_WINDOW`] of the one before, that
    /// opens the breaker. If 0, the breaker never opens.
    pub failure_threshold: u32,
    /// The first pause. Each failed probe doubles it, up to [`MAX_PAUSE`].
    pub initial_pause: Duration,
}

/// A circuit breaker.
#[derive(Debug)]
pub struct CircuitBreaker {
    policy: BreakerPolicy,
    consecutive_failures: u32,
    last_failed_at: Option<Instant>,
    /// The outage, while the breaker is not closed.
    outage: Option<Outage>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    /// When the breaker opened first. A failed probe continues the same outage.
    since: Instant,
    paused_until: Instant,
    pause: Duration,
    is_probing: bool,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    /// The breaker is closed.
    Allow,
    /// The request is the only one, to find out whether the server has recovered.
    Probe,
    /// No request may be sent for this long.
    Reject(Duration),
}

/// Whether a request was a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Normal,
    Probe,
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All requests pass.
    Closed,
    /// All requests are rejected.
    Open {
        /// How long the outage has lasted.
        age: Duration,
        /// How long until the next probe.
        pause: Duration,
    },
    /// The pause is over; the next request, or the one in flight, is the probe.
    HalfOpen {
        /// How long the outage has lasted.
        age: Duration,
        /// Whether a probe is in flight.
        probing: bool,
    },
}

/// A breaker as health checks report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerStatus {
    pub state: BreakerState,
    pub consecutive_failures: u32,
}

impl CircuitBreaker {
    /// Returns a closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, consecutive_failures: 0, last_failed_at: None, outage: None }
    }

    /// Decides whether a request may be sent at `now`. After [`BreakerDecision::Probe`] the caller
    /// must report the result: [`Self::record_success`], [`Self::record_failure`] or
    /// [`Self::cancel_probe`].
    pub fn admit(&mut self, now: Instant) -> BreakerDecision {
        let decision = self.peek(now);
        if let (BreakerDecision::Probe, Some(outage)) = (decision, &mut self.outage) {
            outage.is_probing = true;
        }
        decision
    }

    /// Returns what [`Self::admit`] would decide, without starting a probe.
    #[must_use]
    pub fn peek(&self, now: Instant) -> BreakerDecision {
        match self.outage {
            None => BreakerDecision::Allow,
            Some(Outage { paused_until, .. }) if now < paused_until => {
                BreakerDecision::Reject(paused_until.duration_since(now))
            }
            Some(Outage { is_probing: true, .. }) => BreakerDecision::Reject(self.policy.initial_pause),
            Some(_) => BreakerDecision::Probe,
        }
    }

    /// Records that the server answered, and closes the breaker.
    pub fn record_success(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Records that a request failed at `now`. `retry_after` is how long the server asks clients to
    /// wait. Returns whether the failure opened the breaker.
    pub fn record_failure(
        &mut self,
        now: Instant,
        request: RequestKind,
        retry_after: Option<Duration>,
    ) -> bool {
        self.count_failure(now);
        let backoff = Backoff::new(self.policy.initial_pause, MAX_PAUSE);
        let threshold = self.policy.failure_threshold;
        let (since, pause) = match self.outage {
            Some(Outage { since, pause, .. }) if request == RequestKind::Probe => {
                (since, backoff.delay_after(pause))
            }
            // The request was sent before the breaker opened, so its failure is part of the same
            // outage.
            Some(_) => return false,
            None if threshold == 0 || self.consecutive_failures < threshold => return false,
            None => (now, self.policy.initial_pause),
        };
        let pause = pause.max(retry_after.unwrap_or_default()).min(MAX_PAUSE);
        self.outage = Some(Outage { since, paused_until: now + pause, pause, is_probing: false });
        true
    }

    fn count_failure(&mut self, now: Instant) {
        let is_recent = |last| now.saturating_duration_since(last) <= FAILURE_WINDOW;
        let is_same_outage = self.last_failed_at.is_some_and(is_recent);
        self.consecutive_failures =
            if is_same_outage { self.consecutive_failures.saturating_add(1) } else { 1 };
        self.last_failed_at = Some(now);
    }

    /// Records that a probe ended without a result. The next request becomes the probe.
    pub fn cancel_probe(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.is_probing = false;
        }
    }

    /// Returns the status at `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> BreakerStatus {
        BreakerStatus { state: self.state(now), consecutive_failures: self.consecutive_failures }
    }

    fn state(&self, now: Instant) -> BreakerState {
        let Some(Outage { since, paused_until, is_probing, .. }) = self.outage else {
            return BreakerState::Closed;
        };
        let age = now.saturating_duration_since(since);
        if now < paused_until {
            BreakerState::Open { age, pause: paused_until.duration_since(now) }
        } else {
            BreakerState::HalfOpen { age, probing: is_probing }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RequestKind::{Normal, Probe};
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn new_breaker(failure_threshold: u32) -> CircuitBreaker {
        CircuitBreaker::new(BreakerPolicy { failure_threshold, initial_pause: PAUSE })
    }

    fn open_breaker(now: Instant) -> CircuitBreaker {
        let mut breaker = new_breaker(1);
        assert!(breaker.record_failure(now, Normal, None));
        breaker
    }

    #[test]
    fn consecutive_failures_open_the_breaker_and_a_success_resets_them() {
        let (mut breaker, now) = (new_breaker(3), Instant::now());
        assert!(!breaker.record_failure(now, Normal, None) && !breaker.record_failure(now, Normal, None));
        breaker.record_success();
        assert!(!breaker.record_failure(now, Normal, None) && !breaker.record_failure(now, Normal, None));
        assert_eq!(breaker.admit(now), BreakerDecision::Allow);
        assert!(breaker.record_failure(now, Normal, None));
        assert_eq!(breaker.admit(now + SECOND), BreakerDecision::Reject(PAUSE - SECOND));
    }

    #[test]
    fn failures_far_apart_do_not_open_the_breaker_nor_does_a_threshold_of_zero() {
        let (mut breaker, now) = (new_breaker(2), Instant::now());
        assert!(!breaker.record_failure(now, Normal, None));
        assert!(!breaker.record_failure(now + FAILURE_WINDOW + SECOND, Normal, None));
        assert!(breaker.record_failure(now + FAILURE_WINDOW + FAILURE_WINDOW, Normal, None));
        let mut off = new_breaker(0);
        assert!((0..100).all(|_| !off.record_failure(now, Normal, None)));
    }

    #[test]
    fn one_probe_passes_after_the_pause_and_its_success_closes_the_breaker() {
        let now = Instant::now();
        let (mut breaker, later) = (open_breaker(now), now + PAUSE);
        assert_eq!(breaker.admit(later), BreakerDecision::Probe);
        assert_eq!(breaker.admit(later), BreakerDecision::Reject(PAUSE));
        assert_eq!(breaker.state(later), BreakerState::HalfOpen { age: PAUSE, probing: true });
        breaker.record_success();
        assert_eq!(
            (breaker.admit(later), breaker.state(later)),
            (BreakerDecision::Allow, BreakerState::Closed)
        );
    }

    #[test]
    fn failed_probe_doubles_the_pause_up_to_the_maximum() {
        let mut now = Instant::now();
        let mut breaker = open_breaker(now);
        for pause in [20, 40, 80, 160, 300, 300].map(Duration::from_secs) {
            now += MAX_PAUSE;
            assert_eq!(breaker.admit(now), BreakerDecision::Probe);
            assert!(breaker.record_failure(now, Probe, None));
            assert_eq!(breaker.admit(now), BreakerDecision::Reject(pause));
        }
    }

    #[test]
    fn cancelled_probe_makes_the_next_request_the_probe() {
        let now = Instant::now();
        let (mut breaker, later) = (open_breaker(now), now + PAUSE);
        assert_eq!(breaker.admit(later), BreakerDecision::Probe);
        breaker.cancel_probe();
        assert_eq!(breaker.admit(later), BreakerDecision::Probe);
    }

    #[test]
    fn late_failures_do_not_extend_an_outage_and_retry_after_does() {
        let now = Instant::now();
        let mut breaker = open_breaker(now);
        assert!(!breaker.record_failure(now + SECOND, Normal, None));
        assert_eq!(breaker.admit(now + PAUSE), BreakerDecision::Probe);
        let mut with_retry_after = new_breaker(1);
        with_retry_after.record_failure(now, Normal, Some(PAUSE * 3));
        assert_eq!(with_retry_after.admit(now), BreakerDecision::Reject(PAUSE * 3));
        let mut with_long_retry_after = new_breaker(1);
        with_long_retry_after.record_failure(now, Normal, Some(Duration::from_secs(86_400)));
        assert_eq!(with_long_retry_after.admit(now), BreakerDecision::Reject(MAX_PAUSE));
    }

    proptest! {
        /// In every order of events, at most one probe is in flight and no pause exceeds the
        /// maximum.
        #[test]
        fn at_most_one_probe_is_in_flight_and_every_pause_ends(
            steps in prop::collection::vec((0_u8..4, 0_u64..40), 0..200)
        ) {
            let (mut breaker, mut now) = (new_breaker(2), Instant::now());
            let mut is_probing = false;
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 => match breaker.admit(now) {
                        BreakerDecision::Probe => {
                            prop_assert!(!is_probing);
                            is_probing = true;
                        }
                        BreakerDecision::Allow => prop_assert_eq!(breaker.state(now), BreakerState::Closed),
                        BreakerDecision::Reject(pause) => prop_assert!(pause <= MAX_PAUSE),
                    },
                    1 => {
                        breaker.record_success();
                        is_probing = false;
                    }
                    2 => {
                        let opened = breaker.record_failure(now, if is_probing { Probe } else { Normal }, None);
                        prop_assert!(opened || !is_probing);
                        is_probing = false;
                    }
                    _ => {
                        breaker.cancel_probe();
                        is_probing = false;
                    }
                }
            }
            if !is_probing {
                prop_assert!(!matches!(breaker.peek(now + MAX_PAUSE), BreakerDecision::Reject(_)));
            }
        }
    }
}
