//! Whether the model's server is worth asking: a circuit breaker, as a plain value.
//!
//! Closed, everybody asks. After enough failures in a row it is open, and nobody does. When its pause has passed, one
//! question is a probe: its answer closes the breaker, its failure opens it again, for twice as long.

use std::time::{Duration, Instant};

/// The longest pause. Whatever is wrong with a server, somebody should look a few times an hour.
pub const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Failures further apart than this are not one outage.
pub const WINDOW: Duration = Duration::from_secs(60);

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// Failures in a row, each within [`WINDOW`] of the one before, that open it; 0: it never opens.
    pub failures: u32,
    /// The first pause; each failed probe doubles it, up to [`MAX_PAUSE`].
    pub pause: Duration,
}

/// Keeps count of failures and says who may ask.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    /// In a row, up to now.
    failures: u32,
    last_failed_at: Option<Instant>,
    open: Option<Opened>,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    /// When it opened first; a failed probe goes on with the same outage.
    since: Instant,
    until: Instant,
    pause: Duration,
    probing: bool,
}

/// Whether one may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// As everybody.
    Pass,
    /// As the only one, to see whether the server is back.
    Probe,
    /// Not before this long.
    Refused(Duration),
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everybody asks.
    Closed,
    /// Nobody asks for another `pause`.
    Open {
        /// How long the outage has lasted.
        age: Duration,
        /// How long nobody will ask.
        pause: Duration,
    },
    /// The next question, or the one being asked, finds out.
    HalfOpen {
        /// How long the outage has lasted.
        age: Duration,
        /// Whether a probe is under way.
        probing: bool,
    },
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, failures: 0, last_failed_at: None, open: None }
    }

    /// Whether a question that comes `now` may be asked. Whoever gets [`Asking::Probe`] must report how it went:
    /// [`Self::succeeded`], [`Self::failed`] or [`Self::withdrawn`].
    pub fn admit(&mut self, now: Instant) -> Asking {
        let asking = self.would_admit(now);
        if let (Asking::Probe, Some(opened)) = (asking, &mut self.open) {
            opened.probing = true;
        }
        asking
    }

    /// What [`Self::admit`] would say.
    #[must_use]
    pub fn would_admit(&self, now: Instant) -> Asking {
        match self.open {
            None => Asking::Pass,
            Some(Opened { until, .. }) if now < until => Asking::Refused(until.duration_since(now)),
            Some(Opened { probing: true, .. }) => Asking::Refused(self.policy.pause),
            Some(_) => Asking::Probe,
        }
    }

    /// The server answered, whoever asked.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.policy);
    }

    /// The server failed at `now`, which asked not to be asked for `spare`. Returns whether this opened it.
    pub fn failed(&mut self, now: Instant, probe: bool, spare: Option<Duration>) -> bool {
        let outage = self.last_failed_at.is_some_and(|last| now.saturating_duration_since(last) <= WINDOW);
        self.failures = if outage { self.failures.saturating_add(1) } else { 1 };
        self.last_failed_at = Some(now);
        let (since, pause) = match self.open {
            Some(Opened { since, pause, .. }) if probe => (since, pause.saturating_mul(2)),
            // Asked before it opened: that they fail too says nothing new.
            Some(_) => return false,
            None if self.policy.failures == 0 || self.failures < self.policy.failures => return false,
            None => (now, self.policy.pause),
        };
        let pause = pause.max(spare.unwrap_or_default()).min(MAX_PAUSE);
        self.open = Some(Opened { since, until: now + pause, pause, probing: false });
        true
    }

    /// A probe ended without telling anything about the server.
    pub fn withdrawn(&mut self) {
        if let Some(opened) = &mut self.open {
            opened.probing = false;
        }
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What it does at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        let Some(Opened { since, until, probing, .. }) = self.open else { return BreakerState::Closed };
        let age = now.saturating_duration_since(since);
        if now < until {
            BreakerState::Open { age, pause: until.duration_since(now) }
        } else {
            BreakerState::HalfOpen { age, probing }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(BreakerPolicy { failures, pause: PAUSE })
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = breaker(1);
        assert!(breaker.failed(now, false, None));
        breaker
    }

    #[test]
    fn enough_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (mut it, now) = (breaker(3), Instant::now());
        assert!(!it.failed(now, false, None) && !it.failed(now, false, None));
        it.succeeded();
        assert!(!it.failed(now, false, None) && !it.failed(now, false, None));
        assert_eq!(it.admit(now), Asking::Pass);
        assert!(it.failed(now, false, None));
        assert_eq!(it.admit(now + SECOND), Asking::Refused(PAUSE - SECOND));
    }

    #[test]
    fn failures_far_apart_are_no_outage_and_none_opens_one_that_is_turned_off() {
        let (mut it, now) = (breaker(2), Instant::now());
        assert!(!it.failed(now, false, None));
        assert!(!it.failed(now + WINDOW + SECOND, false, None));
        assert!(it.failed(now + WINDOW + WINDOW, false, None));
        let mut off = breaker(0);
        assert!((0..100).all(|_| !off.failed(now, false, None)));
    }

    #[test]
    fn after_the_pause_there_is_one_probe_and_its_success_closes() {
        let now = Instant::now();
        let (mut it, later) = (opened(now), now + PAUSE);
        assert_eq!(it.admit(later), Asking::Probe);
        assert_eq!(it.admit(later), Asking::Refused(PAUSE));
        assert_eq!(it.state(later), BreakerState::HalfOpen { age: PAUSE, probing: true });
        it.succeeded();
        assert_eq!((it.admit(later), it.state(later)), (Asking::Pass, BreakerState::Closed));
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_its_bound() {
        let mut now = Instant::now();
        let mut it = opened(now);
        for pause in [20, 40, 80, 160, 300, 300].map(Duration::from_secs) {
            now += MAX_PAUSE;
            assert_eq!(it.admit(now), Asking::Probe);
            assert!(it.failed(now, true, None));
            assert_eq!(it.admit(now), Asking::Refused(pause));
        }
    }

    #[test]
    fn a_probe_that_was_stopped_leaves_the_next_question_to_find_out() {
        let now = Instant::now();
        let (mut it, later) = (opened(now), now + PAUSE);
        assert_eq!(it.admit(later), Asking::Probe);
        it.withdrawn();
        assert_eq!(it.admit(later), Asking::Probe);
    }

    #[test]
    fn stragglers_do_not_prolong_an_outage_and_a_server_that_asks_for_longer_gets_it() {
        let now = Instant::now();
        let mut it = opened(now);
        assert!(!it.failed(now + SECOND, false, None));
        assert_eq!(it.admit(now + PAUSE), Asking::Probe);
        let mut spared = breaker(1);
        spared.failed(now, false, Some(PAUSE * 3));
        assert_eq!(spared.admit(now), Asking::Refused(PAUSE * 3));
        let mut for_a_day = breaker(1);
        for_a_day.failed(now, false, Some(Duration::from_secs(86_400)));
        assert_eq!(for_a_day.admit(now), Asking::Refused(MAX_PAUSE));
    }

    proptest! {
        /// Whatever happens in whatever order, there is never a second probe beside the first, and nobody is kept out
        /// for longer than the longest pause.
        #[test]
        fn there_is_one_probe_at_most_and_an_end_to_every_pause(
            steps in prop::collection::vec((0_u8..4, 0_u64..40), 0..200)
        ) {
            let (mut it, mut now) = (breaker(2), Instant::now());
            let mut probing = false;
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 => match it.admit(now) {
                        Asking::Probe => {
                            prop_assert!(!probing);
                            probing = true;
                        }
                        Asking::Pass => prop_assert_eq!(it.state(now), BreakerState::Closed),
                        Asking::Refused(pause) => prop_assert!(pause <= MAX_PAUSE),
                    },
                    1 => {
                        it.succeeded();
                        probing = false;
                    }
                    2 => {
                        let opened = it.failed(now, probing, None);
                        prop_assert!(opened || !probing);
                        probing = false;
                    }
                    _ => {
                        it.withdrawn();
                        probing = false;
                    }
                }
            }
            if !probing {
                prop_assert!(!matches!(it.would_admit(now + MAX_PAUSE), Asking::Refused(_)));
            }
        }
    }
}
