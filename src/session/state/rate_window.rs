//! The rate window of one session: at most so many questions in any 60 seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::limits::RATE_WINDOW;

/// A true sliding window: it remembers when each question of the last minute was asked, so there is no edge at which
/// twice the limit gets through. Memory is bounded by the limit.
#[derive(Debug)]
pub struct RateWindow {
    limit: u32,
    asked: VecDeque<Timestamp>,
}

/// The window is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// After this long exactly one more question is allowed.
    pub retry_after: Duration,
}

impl RateWindow {
    /// A window that allows `limit` questions a minute, of which some were asked before, in order of time.
    #[must_use]
    pub fn restored(limit: u32, asked: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut asked: VecDeque<_> = asked.into_iter().collect();
        let excess = asked.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        asked.drain(..excess);
        Self { limit, asked }
    }

    /// Takes one question at `now`.
    ///
    /// # Errors
    /// [`RateExceeded`] when the limit is used up; nothing is taken then.
    pub fn take(&mut self, now: Timestamp) -> Result<(), RateExceeded> {
        self.forget_before(now);
        if self.remaining_now() == 0 {
            let oldest = self.asked.front().copied().unwrap_or(now);
            return Err(RateExceeded { retry_after: oldest.plus(RATE_WINDOW).since(now) });
        }
        self.asked.push_back(now);
        Ok(())
    }

    /// Gives the last question back: it was refused for a reason that is not the visitor's.
    pub fn give_back(&mut self) {
        self.asked.pop_back();
    }

    /// How many questions are left at `now`.
    pub fn remaining(&mut self, now: Timestamp) -> u32 {
        self.forget_before(now);
        self.remaining_now()
    }

    fn remaining_now(&self) -> u32 {
        self.limit.saturating_sub(u32::try_from(self.asked.len()).unwrap_or(u32::MAX))
    }

    fn forget_before(&mut self, now: Timestamp) {
        // After a clock was set back, or behind a server whose clock is ahead: they count as of now, not until the clock has caught up.
        for later in self.asked.iter_mut().rev().take_while(|asked| **asked > now) {
            *later = now;
        }
        while self.asked.front().is_some_and(|oldest| oldest.plus(RATE_WINDOW) <= now) {
            self.asked.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + ms)
    }

    #[test]
    fn the_limit_passes_and_the_next_is_told_exactly_how_long_to_wait() {
        let mut window = RateWindow::restored(2, []);
        assert_eq!(window.take(at(0)), Ok(()));
        assert_eq!(window.take(at(10_000)), Ok(()));
        assert_eq!(window.take(at(10_001)), Err(RateExceeded { retry_after: Duration::from_millis(49_999) }));
        assert_eq!(window.take(at(59_999)), Err(RateExceeded { retry_after: Duration::from_millis(1) }));
        assert_eq!(window.take(at(60_000)), Ok(()));
        assert_eq!(window.remaining(at(60_000)), 0);
        assert_eq!(window.remaining(at(70_000)), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_costs_at_most_a_minute() {
        let hour = 3_600_000;
        let mut window = RateWindow::restored(2, [at(0), at(hour)]);
        assert_eq!(window.take(at(1_000)), Err(RateExceeded { retry_after: Duration::from_secs(59) }));
        assert_eq!(window.take(at(60_000)), Ok(()));
        assert_eq!(window.take(at(60_000)), Err(RateExceeded { retry_after: Duration::from_secs(1) }));
    }

    #[test]
    fn a_restored_window_goes_on_where_it_was() {
        let mut window = RateWindow::restored(3, [at(0), at(1), at(2)]);
        assert!(window.take(at(100)).is_err());
    }

    proptest! {
        #[test]
        fn no_minute_ever_sees_more_than_the_limit_even_if_the_clock_is_set_back(
            limit in 1_u32..8,
            steps in prop::collection::vec((0_i64..30_000, prop_oneof![9 => Just(0), 1 => 0_i64..100_000]), 1..120),
        ) {
            let mut window = RateWindow::restored(limit, []);
            let (mut passed, mut clock) = (0, 0);
            let mut taken: Vec<i64> = Vec::new();
            for (step, set_back) in steps {
                passed += step;
                clock += step - set_back;
                match window.take(at(clock)) {
                    Ok(()) => taken.push(passed),
                    Err(refused) => {
                        let wait = i64::try_from(refused.retry_after.as_millis()).unwrap();
                        prop_assert!((1..=60_000).contains(&wait), "a refusal names a wait of at most a minute");
                        let mut later = RateWindow::restored(limit, window.asked.iter().copied());
                        prop_assert!(later.take(at(clock + wait)).is_ok(), "after the wait one more passes");
                    }
                }
            }
            for first in &taken {
                let within = taken.iter().filter(|at| (*first..first + 60_000).contains(*at)).count();
                prop_assert!(within <= usize::try_from(limit).unwrap());
            }
        }
    }
}
