//! One address's sliding window: when its last events were, in a few bytes.

use std::time::Duration;

use crate::domain::clock::Timestamp;

/// The most times one log remembers; it bounds what one address costs to 4 bytes each.
const MOST_TIMES: u32 = 64;

/// At most so many events in any span of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowRule {
    limit: u32,
    span: Duration,
    batch: u32,
}

impl WindowRule {
    /// At most `limit` events in any `span`, which is at most 49 days.
    ///
    /// Up to 64 events the log keeps the time of each and is exact. Beyond that it keeps the time of every
    /// `limit / 64`th (rounded up), and an event leaves the window together with the last of its batch: no span ever
    /// sees more than the limit, but at times as many as `limit / 64` fewer are let through.
    pub(super) fn new(limit: u32, span: Duration) -> Self {
        Self { limit, span, batch: limit.div_ceil(MOST_TIMES).max(1) }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }
}

/// The events of one address that its window still sees.
///
/// A log of one event takes no memory on the heap. A clock that was set back makes later events count as of now: they
/// stay for one span more, and not until the clock has caught up.
#[derive(Clone, Debug)]
pub(super) struct SlidingLog {
    /// When the oldest batch ended.
    first: Timestamp,
    /// When the later batches ended, in milliseconds after `first`, ascending.
    later: Vec<u32>,
    /// Events in the newest batch; all others are full. Zero when there is no event at all.
    in_newest: u32,
}

impl SlidingLog {
    /// A log without events.
    pub(super) fn new() -> Self {
        Self { first: Timestamp(0), later: Vec::new(), in_newest: 0 }
    }

    /// Notes one event at `now`, or says how long until one more is let through; nothing is noted then.
    pub(super) fn take(&mut self, rule: &WindowRule, now: Timestamp) -> Result<(), Duration> {
        if self.remaining(rule, now) == 0 {
            let oldest = if self.in_newest == 0 { now } else { self.first };
            return Err(oldest.plus(rule.span).since(now));
        }
        let after_first = offset(now.since(self.first));
        if self.in_newest == 0 {
            self.first = now;
            self.in_newest = 1;
        } else if self.in_newest >= rule.batch {
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

    /// How many more events would be let through at `now`.
    pub(super) fn remaining(&mut self, rule: &WindowRule, now: Timestamp) -> u32 {
        self.not_after(now);
        self.forget(rule.span, now);
        let full = u64::try_from(self.later.len()).unwrap_or(u64::MAX);
        let held = full.saturating_mul(u64::from(rule.batch)).saturating_add(u64::from(self.in_newest));
        rule.limit.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX))
    }

    /// Whether the window sees nothing at `now`, so that a new log would answer alike.
    pub(super) fn is_idle(&mut self, rule: &WindowRule, now: Timestamp) -> bool {
        self.not_after(now);
        self.forget(rule.span, now);
        self.in_newest == 0
    }

    fn not_after(&mut self, now: Timestamp) {
        self.first = self.first.min(now);
        let most = offset(now.since(self.first));
        if self.later.last().is_some_and(|newest| *newest > most) {
            for later in &mut self.later {
                *later = most.min(*later);
            }
        }
    }

    fn forget(&mut self, span: Duration, now: Timestamp) {
        let Some(past) = now.since(self.first).checked_sub(span) else { return };
        let past = offset(past);
        let gone = self.later.partition_point(|later| *later <= past);
        let Some(first) = self.later.get(gone).copied() else {
            *self = Self::new();
            return;
        };
        self.first = self.first.plus(Duration::from_millis(u64::from(first)));
        self.later.drain(..=gone);
        for later in &mut self.later {
            *later -= first;
        }
    }
}

/// `span` in the unit of a log; what is longer is long gone.
fn offset(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 60_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + ms)
    }

    fn rule(limit: u32) -> WindowRule {
        WindowRule::new(limit, Duration::from_millis(SPAN.unsigned_abs()))
    }

    fn ms(wait: Duration) -> i64 {
        i64::try_from(wait.as_millis()).unwrap()
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_through() {
        assert_eq!(SlidingLog::new().take(&rule(0), at(0)), Err(Duration::from_secs(60)));
    }

    #[test]
    fn an_unreachable_limit_never_refuses() {
        let (mut log, rule) = (SlidingLog::new(), rule(u32::MAX));
        assert!((0..100_000).all(|ms| log.take(&rule, at(ms)).is_ok()));
        assert_eq!(log.remaining(&rule, at(100_000)), u32::MAX - 100_000);
    }

    #[test]
    fn a_window_that_never_empties_goes_on_for_years() {
        let (mut log, rule) = (SlidingLog::new(), rule(2));
        for step in 0..2_000_000 {
            assert_eq!(log.take(&rule, at(step * SPAN / 2)), Ok(()));
        }
        assert_eq!(log.later.len(), 1);
    }

    #[test]
    fn a_clock_set_back_costs_one_span_and_not_the_time_it_was_wrong_by() {
        let (mut log, rule) = (SlidingLog::new(), rule(3));
        for ms in [0, 10, 20] {
            assert_eq!(log.take(&rule, at(ms)), Ok(()));
        }
        assert_eq!(log.take(&rule, at(-86_400_000)), Err(Duration::from_secs(60)));
        assert_eq!(log.take(&rule, at(-86_400_000 + SPAN)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_between_events_keeps_their_order() {
        let (mut log, rule) = (SlidingLog::new(), rule(3));
        for ms in [0, 40_000, 50_000] {
            assert_eq!(log.take(&rule, at(ms)), Ok(()));
        }
        assert_eq!(log.take(&rule, at(30_000)), Err(Duration::from_secs(30)));
        assert_eq!(log.remaining(&rule, at(60_000)), 1);
        assert_eq!(log.remaining(&rule, at(89_999)), 1);
        assert_eq!(log.remaining(&rule, at(90_000)), 3);
    }

    proptest! {
        #[test]
        fn up_to_64_it_is_the_plain_list_of_times(
            limit in 1_u32..=64,
            steps in prop::collection::vec(prop_oneof![0_i64..3_000, 0_i64..90_000], 1..300),
        ) {
            let (mut log, rule) = (SlidingLog::new(), rule(limit));
            let (mut now, mut taken) = (0, Vec::<i64>::new());
            for step in steps {
                now += step;
                taken.retain(|time| now - time < SPAN);
                let room = usize::try_from(limit).unwrap() - taken.len();
                prop_assert_eq!(usize::try_from(log.remaining(&rule, at(now))).unwrap(), room);
                let expected = match taken.first() {
                    Some(oldest) if room == 0 => Err(oldest + SPAN - now),
                    _ => {
                        taken.push(now);
                        Ok(())
                    }
                };
                prop_assert_eq!(log.take(&rule, at(now)).map_err(ms), expected);
            }
        }

        #[test]
        fn no_span_ever_sees_more_than_the_limit_and_the_wait_is_exact(
            limit in 1_u32..1_000,
            steps in prop::collection::vec(prop_oneof![9 => 0_i64..200, 1 => 0_i64..90_000], 1..2_000),
        ) {
            let (mut log, rule) = (SlidingLog::new(), rule(limit));
            let slack = usize::try_from(limit.div_ceil(64)).unwrap() - 1;
            let limit = usize::try_from(limit).unwrap();
            let (mut now, mut taken) = (0, Vec::<i64>::new());
            for step in steps {
                now += step;
                let seen = taken.iter().rev().take_while(|time| now - **time < SPAN).count();
                match log.take(&rule, at(now)) {
                    Ok(()) => {
                        prop_assert!(seen < limit);
                        taken.push(now);
                    }
                    Err(wait) => {
                        prop_assert!(seen + slack >= limit, "{seen} seen of {limit}");
                        prop_assert!(log.clone().take(&rule, at(now + ms(wait) - 1)).is_err());
                        prop_assert!(log.clone().take(&rule, at(now + ms(wait))).is_ok());
                    }
                }
                prop_assert!(log.later.len() < 64 && log.later.capacity() <= 64);
            }
        }

        #[test]
        fn in_real_time_the_limit_holds_through_a_clock_that_is_set_back(
            limit in 1_u32..100,
            steps in prop::collection::vec((0_i64..3_000, prop_oneof![9 => Just(0_i64), 1 => 0_i64..100_000]), 1..600),
        ) {
            let (mut log, rule) = (SlidingLog::new(), rule(limit));
            let (mut real, mut clock, mut taken) = (0, 0, Vec::<i64>::new());
            for (step, back) in steps {
                real += step;
                clock += step - back;
                match log.take(&rule, at(clock)) {
                    Ok(()) => taken.push(real),
                    Err(wait) => prop_assert!(ms(wait) > 0 && ms(wait) <= SPAN),
                }
                let seen = taken.iter().rev().take_while(|time| real - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(limit).unwrap());
            }
        }
    }
}
