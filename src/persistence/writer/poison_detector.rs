//! Decides whether an ambiguous failure is blamed on the data of a write.
//!
//! A permanent data error is reported explicitly, as a constraint violation. Everything else is
//! treated as transient, because a write that is rejected is lost. A write is therefore rejected
//! only after the database has accepted everything but that write for long enough.

use std::time::{Duration, Instant};

/// The number of failures after which the writes of a batch are retried individually.
const BATCH_FAILURES: u32 = 3;

/// How long an individual write must keep failing while the database accepts other writes.
const MIN_FAILURE_TIME: Duration = Duration::from_secs(60);

/// The failures of the current batch.
#[derive(Debug, Default)]
pub(crate) struct PoisonDetector {
    failures: u32,
    first_failure: Option<Instant>,
}

/// What to do with writes that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Retry; the failure may have passed already.
    Retry,
    /// Retry, and report the database as unavailable.
    Wait,
    /// Reject the writes: split a batch, or drop an individual write.
    Reject,
}

impl PoisonDetector {
    /// Forgets earlier failures, because the database was unavailable.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Records that `writes` writes failed at `now`. `accepts_others` is whether the database
    /// accepted another write immediately afterwards.
    pub(crate) fn record_failure(&mut self, now: Instant, writes: usize, accepts_others: bool) -> Decision {
        if !accepts_others {
            self.reset();
            return Decision::Wait;
        }
        self.failures += 1;
        let first_failure = *self.first_failure.get_or_insert(now);
        if self.failures < BATCH_FAILURES {
            Decision::Retry
        } else if writes > 1 || now.duration_since(first_failure) >= MIN_FAILURE_TIME {
            Decision::Reject
        } else {
            Decision::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the decisions on writes that fail every second for two minutes, and the number of
    /// the first rejection.
    fn fail(writes: usize, accepts_others: impl Fn(u32) -> bool) -> (Vec<Decision>, Option<usize>) {
        let (mut detector, start) = (PoisonDetector::default(), Instant::now());
        let decide =
            |second| detector.record_failure(start + SECOND * second, writes, accepts_others(second));
        let decisions: Vec<Decision> = (0..120).map(decide).collect();
        let rejected = decisions.iter().position(|decision| *decision == Decision::Reject);
        (decisions, rejected)
    }

    #[test]
    fn batch_is_split_soon_and_individual_write_is_rejected_late() {
        let (decisions, rejected) = fail(2, |_| true);
        assert_eq!((decisions[..2].to_vec(), rejected), (vec![Decision::Retry; 2], Some(2)));
        let (decisions, rejected) = fail(1, |_| true);
        assert_eq!((decisions[1], decisions[2], rejected), (Decision::Retry, Decision::Wait, Some(60)));
    }

    #[test]
    fn nothing_is_rejected_while_other_writes_fail_as_well() {
        let (decisions, rejected) = fail(1, |second| second % 50 != 0);
        assert_eq!((decisions[0], rejected), (Decision::Wait, None));
    }

    #[test]
    fn time_before_an_outage_does_not_count() {
        let (mut detector, start) = (PoisonDetector::default(), Instant::now());
        let mut decide = |second| detector.record_failure(start + SECOND * second, 1, true);
        assert_eq!([0, 1, 2].map(&mut decide), [Decision::Retry, Decision::Retry, Decision::Wait]);
        detector.reset();
        let mut decide = |second| detector.record_failure(start + SECOND * second, 1, true);
        assert_eq!([90, 91, 92].map(&mut decide), [Decision::Retry, Decision::Retry, Decision::Wait]);
        assert_eq!([149, 150].map(decide), [Decision::Wait, Decision::Reject]);
    }
}
