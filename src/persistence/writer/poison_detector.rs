//! Whether a failure that does not say whose fault it is may be blamed on the data. A plain value.
//!
//! What the data cannot be mended of, databases say in so many words: a constraint is violated. Everything else is most likely the
//! database's own trouble, which passes, and a write that is given up is lost. So it is given up only when the database has, for
//! long enough, taken everything but that one write.

use std::time::{Duration, Instant};

/// Failures of a group after which its writes are tried one by one.
const TRIES_TOGETHER: u32 = 3;

/// How long a write that is tried alone must have failed, with a database that takes others.
const PROBATION: Duration = Duration::from_secs(60);

/// What is suspected of the writes in hand.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    tries: u32,
    since: Option<Instant>,
}

/// What to do with writes that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try them again: it may have passed already.
    TryAgain,
    /// Try them again: the database is not well.
    Wait,
    /// It is their fault: part them or, if it is one alone, give it up.
    Blame,
}

impl Suspicion {
    /// The database was away: what came before says nothing any more.
    pub(crate) fn acquit(&mut self) {
        *self = Self::default();
    }

    /// So many writes failed at `now`, and whether the database took another right after it.
    pub(crate) fn failed(&mut self, now: Instant, writes: usize, takes_others: bool) -> Verdict {
        if !takes_others {
            self.acquit();
            return Verdict::Wait;
        }
        self.tries += 1;
        let since = *self.since.get_or_insert(now);
        if self.tries < TRIES_TOGETHER {
            Verdict::TryAgain
        } else if writes > 1 || now.duration_since(since) >= PROBATION {
            Verdict::Blame
        } else {
            Verdict::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What becomes of writes that fail every second for two minutes, and after how many seconds they are blamed.
    fn fail(writes: usize, takes_others: impl Fn(u32) -> bool) -> (Vec<Verdict>, Option<usize>) {
        let (mut suspicion, began) = (Suspicion::default(), Instant::now());
        let verdict = |second| suspicion.failed(began + SECOND * second, writes, takes_others(second));
        let verdicts: Vec<Verdict> = (0..120).map(verdict).collect();
        let blamed = verdicts.iter().position(|verdict| *verdict == Verdict::Blame);
        (verdicts, blamed)
    }

    #[test]
    fn a_group_is_parted_soon_and_a_write_alone_given_up_late() {
        let (verdicts, blamed) = fail(2, |_| true);
        assert_eq!((verdicts[..2].to_vec(), blamed), (vec![Verdict::TryAgain; 2], Some(2)));
        let (verdicts, blamed) = fail(1, |_| true);
        assert_eq!((verdicts[1], verdicts[2], blamed), (Verdict::TryAgain, Verdict::Wait, Some(60)));
    }

    #[test]
    fn a_database_that_takes_nothing_at_times_blames_nobody() {
        let (verdicts, blamed) = fail(1, |second| second % 50 != 0);
        assert_eq!((verdicts[0], blamed), (Verdict::Wait, None));
    }

    #[test]
    fn a_minute_in_which_the_database_was_away_does_not_count() {
        let (mut suspicion, began) = (Suspicion::default(), Instant::now());
        let mut verdict = |second| suspicion.failed(began + SECOND * second, 1, true);
        assert_eq!([0, 1, 2].map(&mut verdict), [Verdict::TryAgain, Verdict::TryAgain, Verdict::Wait]);
        suspicion.acquit();
        let mut verdict = |second| suspicion.failed(began + SECOND * second, 1, true);
        assert_eq!([90, 91, 92].map(&mut verdict), [Verdict::TryAgain, Verdict::TryAgain, Verdict::Wait]);
        assert_eq!([149, 150].map(verdict), [Verdict::Wait, Verdict::Blame]);
    }
}
