//! A sliding-window rate limiter: remembers when the recent events happened, in a few bytes.

use std::time::Duration;

use crate::domain::clock::{Timestamp, millis};

/// The times that a compact window remembers. Bounds its memory to 4 bytes each.
const MAX_COMPACT_TIMES: u32 = 64;

/// The limit that a [`SlidingWindow`] enforces.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimit {
    limit: u32,
    span: Duration,
    /// The number of consecutive events that share one remembered time.
    batch: u32,
}

impl WindowLimit {
    /// Returns a limit of `limit` events in any `span`, for which the time of every event is kept.
    /// The memory of a window grows with the limit. `span` is at most 49 days.
    #[must_use]
    pub fn exact(limit: u32, span: Duration) -> Self {
        Self { limit, span, batch: 1 }
    }

    /// Returns a limit of `limit` events in any `span`, for which at most 64 times are kept. `span`
    /// is at most 49 days.
    ///
    /// Up to 64 events the window is exact. Above that it keeps the time of every `limit / 64`th
    /// event (rounded up), and an event leaves the window together with the last event of its
    /// batch. No span ever sees more than the limit, but it can see up to `limit / 64` events
    /// fewer.
    #[must_use]
    pub fn compact(limit: u32, span: Duration) -> Self {
        Self { limit, span, batch: limit.div_ceil(MAX_COMPACT_TIMES).max(1) }
    }

    /// Returns the events that any span may see.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }
}

/// The events that are still inside the window.
///
/// Unlike fixed windows, it never allows twice the limit at the border between two windows. A
/// window with one event takes no memory on the heap.
///
/// If the clock is set back, or another instance's clock is ahead, later events count as if they
/// happened now: they stay for one more span, not until the clock has caught up.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    /// When the oldest batch ended.
    first: Timestamp,
    /// When the later batches ended, in milliseconds after `first`, ascending.
    later: Vec<u32>,
    /// Events in the newest batch; all other batches are full. Zero if there is no event at all.
    in_newest: u32,
}

impl SlidingWindow {
    /// Returns a window without events.
    #[must_use]
    pub fn new() -> Self {
        Self { first: Timestamp(0), later: Vec::new(), in_newest: 0 }
    }

    /// Returns a window that has seen these events already. `limit` must be [exact].
    ///
    /// [exact]: WindowLimit::exact
    #[must_use]
    pub fn from_events(limit: &WindowLimit, events: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut events: Vec<Timestamp> = events.into_iter().collect();
        events.sort_unstable();
        let excess = events.len().saturating_sub(usize::try_from(limit.limit).unwrap_or(usize::MAX));
        let mut recent = events.into_iter().skip(excess);
        let Some(first) = recent.next() else { return Self::new() };
        Self { first, later: recent.map(|event| offset(event.since(first))).collect(), in_newest: 1 }
    }

    /// Counts one event at `now`.
    ///
    /// # Errors
    /// The time until one more event is allowed, if the limit is reached. The event is not counted
    /// then.
    pub fn take(&mut self, limit: &WindowLimit, now: Timestamp) -> Result<(), Duration> {
        self.check(limit, now)?;
        let after_first = offset(now.since(self.first));
        if self.in_newest == 0 {
            self.first = now;
            self.in_newest = 1;
        } else if self.in_newest >= limit.batch {
            self.later.push(after_first);
            self.in_newest = 1;
        } else {
            match self.later.last_mut() {
                Some(newest) => *newest = after_first,
                None => self.first = now,
            }
            self.in_newest += 1;
        }
        Ok(())
    }

    /// Checks whether an event at `now` would be counted.
    ///
    /// # Errors
    /// The time until one more event is allowed, if the limit is reached.
    pub fn check(&mut self, limit: &WindowLimit, now: Timestamp) -> Result<(), Duration> {
        if self.remaining(limit, now) > 0 {
            return Ok(());
        }
        let oldest = if self.in_newest == 0 { now } else { self.first };
        Err(oldest.plus(limit.span).since(now))
    }

    /// Removes the newest event again, which turned out not to count.
    pub fn give_back(&mut self, limit: &WindowLimit) {
        self.in_newest = self.in_newest.saturating_sub(1);
        if self.in_newest == 0 && self.later.pop().is_some() {
            self.in_newest = limit.batch;
        }
    }

    /// Returns how many more events are allowed at `now`.
    pub fn remaining(&mut self, limit: &WindowLimit, now: Timestamp) -> u32 {
        self.clamp_to(now);
        self.expire(limit.span, now);
        let full = u64::try_from(self.later.len()).unwrap_or(u64::MAX);
        let count = full.saturating_mul(u64::from(limit.batch)).saturating_add(u64::from(self.in_newest));
        limit.limit.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Returns whether no event is inside the window at `now`, so that a new window would decide
    /// the same.
    pub(super) fn is_idle(&mut self, limit: &WindowLimit, now: Timestamp) -> bool {
        self.clamp_to(now);
        self.expire(limit.span, now);
        self.in_newest == 0
    }

    /// Moves events that are later than `now` to `now`.
    fn clamp_to(&mut self, now: Timestamp) {
        self.first = self.first.min(now);
        let max = offset(now.since(self.first));
        if self.later.last().is_some_and(|newest| *newest > max) {
            for later in &mut self.later {
                *later = max.min(*later);
            }
        }
    }

    /// Removes the events that have left the window.
    fn expire(&mut self, span: Duration, now: Timestamp) {
        let Some(past) = now.since(self.first).checked_sub(span) else { return };
        let past = offset(past);
        let expired = self.later.partition_point(|later| *later <= past);
        let Some(first) = self.later.get(expired).copied() else {
            *self = Self::new();
            return;
        };
        self.first = self.first.plus(Duration::from_millis(u64::from(first)));
        self.later.drain(..=expired);
        for later in &mut self.later {
            *later -= first;
        }
    }
}

impl Default for SlidingWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns `span` in milliseconds, at most 49 days.
fn offset(span: Duration) -> u32 {
    u32::try_from(millis(span)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 60_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + ms)
    }

    fn compact(limit: u32) -> WindowLimit {
        WindowLimit::compact(limit, Duration::from_millis(SPAN.unsigned_abs()))
    }

    fn exact(limit: u32) -> WindowLimit {
        WindowLimit::exact(limit, Duration::from_millis(SPAN.unsigned_abs()))
    }

    fn ms(wait: Duration) -> i64 {
        i64::try_from(wait.as_millis()).unwrap()
    }

    #[test]
    fn limit_of_zero_allows_nothing() {
        assert_eq!(SlidingWindow::new().take(&compact(0), at(0)), Err(Duration::from_secs(60)));
    }

    #[test]
    fn unreachable_limit_never_refuses() {
        let (mut window, limit) = (SlidingWindow::new(), compact(u32::MAX));
        assert!((0..100_000).all(|ms| window.take(&limit, at(ms)).is_ok()));
        assert_eq!(window.remaining(&limit, at(100_000)), u32::MAX - 100_000);
    }

    #[test]
    fn window_that_never_empties_works_for_years() {
        let (mut window, limit) = (SlidingWindow::new(), compact(2));
        for step in 0..2_000_000 {
            assert_eq!(window.take(&limit, at(step * SPAN / 2)), Ok(()));
        }
        assert_eq!(window.later.len(), 1);
    }

    #[test]
    fn clock_set_back_costs_at_most_one_span() {
        let (mut window, limit) = (SlidingWindow::new(), compact(3));
        for ms in [0, 10, 20] {
            assert_eq!(window.take(&limit, at(ms)), Ok(()));
        }
        assert_eq!(window.take(&limit, at(-86_400_000)), Err(Duration::from_secs(60)));
        assert_eq!(window.take(&limit, at(-86_400_000 + SPAN)), Ok(()));
    }

    #[test]
    fn clock_set_back_between_events_keeps_their_order() {
        let (mut window, limit) = (SlidingWindow::new(), compact(3));
        for ms in [0, 40_000, 50_000] {
            assert_eq!(window.take(&limit, at(ms)), Ok(()));
        }
        assert_eq!(window.take(&limit, at(30_000)), Err(Duration::from_secs(30)));
        assert_eq!(window.remaining(&limit, at(60_000)), 1);
        assert_eq!(window.remaining(&limit, at(89_999)), 1);
        assert_eq!(window.remaining(&limit, at(90_000)), 3);
    }

    #[test]
    fn wait_is_the_exact_time_until_one_more_event_is_allowed() {
        let (mut window, limit) = (SlidingWindow::new(), exact(2));
        assert_eq!(window.take(&limit, at(0)), Ok(()));
        assert_eq!(window.take(&limit, at(10_000)), Ok(()));
        assert_eq!(window.take(&limit, at(10_001)), Err(Duration::from_millis(49_999)));
        assert_eq!(window.take(&limit, at(59_999)), Err(Duration::from_millis(1)));
        assert_eq!(window.take(&limit, at(60_000)), Ok(()));
        assert_eq!(window.remaining(&limit, at(60_000)), 0);
        assert_eq!(window.remaining(&limit, at(70_000)), 1);
    }

    #[test]
    fn clock_set_back_after_restore_costs_at_most_one_span() {
        let (hour, limit) = (3_600_000, exact(2));
        let mut window = SlidingWindow::from_events(&limit, [at(0), at(hour)]);
        assert_eq!(window.take(&limit, at(1_000)), Err(Duration::from_secs(59)));
        assert_eq!(window.take(&limit, at(60_000)), Ok(()));
        assert_eq!(window.take(&limit, at(60_000)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn restored_window_counts_the_events_it_is_given() {
        let limit = exact(3);
        let mut window = SlidingWindow::from_events(&limit, [at(0), at(1), at(2)]);
        assert!(window.take(&limit, at(100)).is_err());
    }

    #[test]
    fn restored_window_keeps_only_the_newest_events() {
        let limit = exact(2);
        let mut window = SlidingWindow::from_events(&limit, [at(0), at(10), at(20)]);
        assert_eq!(window.take(&limit, at(30)), Err(Duration::from_millis(59_980)));
        assert_eq!(SlidingWindow::from_events(&limit, []).remaining(&limit, at(0)), 2);
    }

    #[test]
    fn event_that_is_given_back_does_not_count() {
        for limit in [exact(100), compact(100)] {
            let mut window = SlidingWindow::new();
            window.give_back(&limit);
            assert_eq!(window.remaining(&limit, at(0)), 100);
            for taken in 0..3 {
                assert_eq!(window.take(&limit, at(taken)), Ok(()));
            }
            for remaining in 98..=100 {
                window.give_back(&limit);
                assert_eq!(window.remaining(&limit, at(3)), remaining);
            }
        }
    }

    proptest! {
        #[test]
        fn exact_window_never_sees_more_than_the_limit_even_if_the_clock_is_set_back(
            max in 1_u32..8,
            steps in prop::collection::vec((0_i64..30_000, prop_oneof![9 => Just(0), 1 => 0_i64..100_000]), 1..120),
        ) {
            let (mut window, limit) = (SlidingWindow::new(), exact(max));
            let (mut elapsed, mut clock) = (0, 0);
            let mut taken: Vec<i64> = Vec::new();
            for (step, set_back) in steps {
                elapsed += step;
                clock += step - set_back;
                match window.take(&limit, at(clock)) {
                    Ok(()) => taken.push(elapsed),
                    Err(wait) => {
                        prop_assert!((1..=60_000).contains(&ms(wait)), "the wait is at most one span");
                        let mut later = window.clone();
                        prop_assert!(later.take(&limit, at(clock + ms(wait))).is_ok(), "one more is allowed");
                    }
                }
            }
            for first in &taken {
                let within = taken.iter().filter(|time| (*first..first + 60_000).contains(*time)).count();
                prop_assert!(within <= usize::try_from(max).unwrap());
            }
        }

        #[test]
        fn compact_window_is_exact_up_to_64_events(
            max in 1_u32..=64,
            steps in prop::collection::vec(prop_oneof![0_i64..3_000, 0_i64..90_000], 1..300),
        ) {
            let (mut window, limit) = (SlidingWindow::new(), compact(max));
            let (mut now, mut taken) = (0, Vec::<i64>::new());
            for step in steps {
                now += step;
                taken.retain(|time| now - time < SPAN);
                let room = usize::try_from(max).unwrap() - taken.len();
                prop_assert_eq!(usize::try_from(window.remaining(&limit, at(now))).unwrap(), room);
                let expected = match taken.first() {
                    Some(oldest) if room == 0 => Err(oldest + SPAN - now),
                    _ => {
                        taken.push(now);
                        Ok(())
                    }
                };
                prop_assert_eq!(window.take(&limit, at(now)).map_err(ms), expected);
            }
        }

        #[test]
        fn no_span_sees_more_than_the_limit_and_the_wait_is_exact(
            max in 1_u32..1_000,
            steps in prop::collection::vec(prop_oneof![9 => 0_i64..200, 1 => 0_i64..90_000], 1..2_000),
        ) {
            let (mut window, limit) = (SlidingWindow::new(), compact(max));
            let slack = usize::try_from(max.div_ceil(64)).unwrap() - 1;
            let max = usize::try_from(max).unwrap();
            let (mut now, mut taken) = (0, Vec::<i64>::new());
            for step in steps {
                now += step;
                let seen = taken.iter().rev().take_while(|time| now - **time < SPAN).count();
                match window.take(&limit, at(now)) {
                    Ok(()) => {
                        prop_assert!(seen < max);
                        taken.push(now);
                    }
                    Err(wait) => {
                        prop_assert!(seen + slack >= max, "{seen} seen of {max}");
                        prop_assert!(window.clone().take(&limit, at(now + ms(wait) - 1)).is_err());
                        prop_assert!(window.clone().take(&limit, at(now + ms(wait))).is_ok());
                    }
                }
                prop_assert!(window.later.len() < 64 && window.later.capacity() <= 64);
            }
        }

        #[test]
        fn limit_holds_in_real_time_if_the_clock_is_set_back(
            max in 1_u32..100,
            steps in prop::collection::vec((0_i64..3_000, prop_oneof![9 => Just(0_i64), 1 => 0_i64..100_000]), 1..600),
        ) {
            let (mut window, limit) = (SlidingWindow::new(), compact(max));
            let (mut real, mut clock, mut taken) = (0, 0, Vec::<i64>::new());
            for (step, back) in steps {
                real += step;
                clock += step - back;
                match window.take(&limit, at(clock)) {
                    Ok(()) => taken.push(real),
                    Err(wait) => prop_assert!(ms(wait) > 0 && ms(wait) <= SPAN),
                }
                let seen = taken.iter().rev().take_while(|time| real - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(max).unwrap());
            }
        }
    }
}
