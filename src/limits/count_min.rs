//! A count-min sketch: shared counters for addresses that are too many to count one by one.

use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::time::Duration;

use super::AddressKey;
use super::sliding_window::WindowLimit;
use crate::domain::clock::{Timestamp, millis};

/// Each address has one cell in each row; the smaller of its counts applies. With two rows, an
/// attacker who fills a share `p` of the cells blocks a share `p²` of the other addresses.
const ROWS: u64 = 2;
/// Cells in a row. A few hundred abusive networks fill a few per cent of the cells. Two rows of two
/// windows take 256 KiB.
const CELLS: u64 = 16_384;

/// Event counts of the current and the previous fixed window, in cells that addresses share at
/// random and the networks of one IPv6 /48 always share. Windows start at multiples of the span.
///
/// The events of an address are counted in each of its cells, and any span touches at most two
/// windows, so no address ever exceeds the limit. It can be refused too early: because of events of
/// other addresses, or for up to one span too long. A random seed decides which addresses share a
/// cell. No memory is allocated until the first event is counted.
#[derive(Debug)]
pub(super) struct CountMinSketch {
    seed: RandomState,
    /// The number of the current window, counted in spans since 1970.
    window: i64,
    current: Vec<u32>,
    previous: Vec<u32>,
}

impl CountMinSketch {
    /// Returns an empty sketch with a new seed.
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new(), window: 0, current: Vec::new(), previous: Vec::new() }
    }

    /// Counts one event at `now`.
    ///
    /// # Errors
    /// The time until one more event is allowed, if the limit is reached. The event is not counted
    /// then.
    pub(super) fn take(
        &mut self,
        limit: &WindowLimit,
        now: Timestamp,
        key: AddressKey,
    ) -> Result<(), Duration> {
        self.check(limit, now, key)?;
        if self.current.is_empty() {
            self.current = vec![0; index(ROWS * CELLS)];
        }
        for cell in self.cells(key) {
            if let Some(count) = self.current.get_mut(cell) {
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Checks whether an event at `now` would be counted.
    ///
    /// # Errors
    /// The time until one more event is allowed, if the limit is reached.
    pub(super) fn check(
        &mut self,
        limit: &WindowLimit,
        now: Timestamp,
        key: AddressKey,
    ) -> Result<(), Duration> {
        if self.count(limit, now, key) < limit.limit() { Ok(()) } else { Err(self.wait(limit, now, key)) }
    }

    /// Returns an upper bound of the events of an address in the current and the previous window.
    pub(super) fn count(&mut self, limit: &WindowLimit, now: Timestamp, key: AddressKey) -> u32 {
        self.rotate(limit, now);
        let counts = self
            .cells(key)
            .map(|cell| count_at(&self.current, cell).saturating_add(count_at(&self.previous, cell)));
        counts.into_iter().min().unwrap_or(0)
    }

    /// Returns the time until a full cell has room: when the counts of its previous window are
    /// dropped, or those of its current window one span later.
    fn wait(&self, limit: &WindowLimit, now: Timestamp, key: AddressKey) -> Duration {
        let windows =
            self.cells(key).map(|cell| if count_at(&self.current, cell) < limit.limit() { 1 } else { 2 });
        let windows = windows.into_iter().min().unwrap_or(2);
        Timestamp(self.window.saturating_add(windows).saturating_mul(span_ms(limit))).since(now)
    }

    /// Moves on to the window of `now`.
    fn rotate(&mut self, limit: &WindowLimit, now: Timestamp) {
        let window = now.0.div_euclid(span_ms(limit));
        let ahead = window.saturating_sub(self.window);
        self.window = window;
        if ahead == 0 || (self.current.is_empty() && self.previous.is_empty()) {
            return;
        }
        let previous = mem::take(&mut self.previous);
        if ahead == 1 {
            self.previous = mem::take(&mut self.current);
        } else if ahead > 1 {
            self.current = Vec::new();
        } else if self.current.is_empty() {
            self.current = previous;
        } else {
            // The clock was set back: count all events as if they happened now.
            for (count, before) in self.current.iter_mut().zip(previous) {
                *count = count.saturating_add(before);
            }
        }
    }

    fn cells(&self, key: AddressKey) -> [usize; 2] {
        let hash = self.seed.hash_one(key.site());
        [index(hash % CELLS), index(CELLS + (hash >> 32) % CELLS)]
    }
}

fn count_at(window: &[u32], cell: usize) -> u32 {
    window.get(cell).copied().unwrap_or(0)
}

fn index(cell: u64) -> usize {
    usize::try_from(cell).unwrap_or(usize::MAX)
}

fn span_ms(limit: &WindowLimit) -> i64 {
    i64::try_from(millis(limit.span())).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 60_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_700_000_040_000 + ms)
    }

    fn window_limit(limit: u32) -> WindowLimit {
        WindowLimit::compact(limit, Duration::from_millis(SPAN.unsigned_abs()))
    }

    fn key(number: u32) -> AddressKey {
        AddressKey::from_ip(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn nothing_is_allocated_without_events() {
        let mut sketch = CountMinSketch::new();
        assert_eq!(sketch.count(&window_limit(2), at(0), key(1)), 0);
        assert!(sketch.current.is_empty() && sketch.previous.is_empty());
        assert_eq!(sketch.take(&window_limit(2), at(0), key(1)), Ok(()));
        assert_eq!(sketch.count(&window_limit(2), at(2 * SPAN), key(1)), 0);
        assert!(sketch.current.is_empty() && sketch.previous.is_empty());
    }

    #[test]
    fn slash_48_fills_only_its_own_cells() {
        let (mut sketch, limit) = (CountMinSketch::new(), window_limit(60));
        let flood = |net: u16| AddressKey::from_ip(Ipv6Addr::new(0x2001, 0xdb8, 7, net, 0, 0, 0, 1).into());
        let allowed = (0..=u16::MAX).filter(|net| sketch.take(&limit, at(0), flood(*net)).is_ok()).count();
        assert_eq!(allowed, 60);
        let victims = (0..10_000).filter(|other| sketch.count(&limit, at(1), key(*other)) > 0).count();
        assert!(victims <= 3, "{victims} share both of their cells with it");
    }

    #[test]
    fn thousand_abusive_networks_block_few_others() {
        let (mut sketch, limit) = (CountMinSketch::new(), window_limit(60));
        for abuser in 0..1_000 {
            while sketch.take(&limit, at(0), key(abuser)).is_ok() {}
        }
        let blocked = (1_000..101_000).filter(|other| sketch.count(&limit, at(1), key(*other)) >= 60).count();
        assert!(blocked < 1_000, "{blocked} of 100,000");
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_the_limit_and_the_wait_is_exact(
            max in 0_u32..6,
            steps in prop::collection::vec((0_i64..20_000, 0_u32..3), 1..200),
        ) {
            let (mut sketch, limit) = (CountMinSketch::new(), window_limit(max));
            let (mut now, mut taken) = (0, Vec::<(i64, u32)>::new());
            for (step, who) in steps {
                now += step;
                match sketch.take(&limit, at(now), key(who)) {
                    Ok(()) => taken.push((now, who)),
                    Err(wait) => {
                        let wait = i64::try_from(wait.as_millis()).unwrap();
                        prop_assert!(0 < wait && wait <= 2 * SPAN);
                        if max > 0 {
                            let mut later = CountMinSketch { seed: sketch.seed.clone(), window: sketch.window,
                                current: sketch.current.clone(), previous: sketch.previous.clone() };
                            prop_assert!(later.take(&limit, at(now + wait - 1), key(who)).is_err());
                            prop_assert!(later.take(&limit, at(now + wait), key(who)).is_ok());
                        }
                    }
                }
                let seen = taken.iter().filter(|(time, by)| *by == who && now - time < SPAN).count();
                prop_assert!(seen <= usize::try_from(max).unwrap());
            }
        }

        #[test]
        fn limit_holds_in_real_time_if_the_clock_is_set_back(
            max in 1_u32..6,
            steps in prop::collection::vec((0_i64..20_000, prop_oneof![5 => Just(0_i64), 1 => 0_i64..400_000]), 1..200),
        ) {
            let (mut sketch, limit) = (CountMinSketch::new(), window_limit(max));
            let (mut real, mut clock, mut taken) = (0, 0, Vec::<i64>::new());
            for (step, back) in steps {
                real += step;
                clock += step - back;
                match sketch.take(&limit, at(clock), key(1)) {
                    Ok(()) => taken.push(real),
                    Err(wait) => prop_assert!(wait <= Duration::from_secs(120)),
                }
                let seen = taken.iter().filter(|time| real - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(max).unwrap());
            }
        }
    }
}
