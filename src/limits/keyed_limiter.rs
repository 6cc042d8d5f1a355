//! Rate limiting per address, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::AddressKey;
use super::count_min::CountMinSketch;
use super::sliding_window::{SlidingWindow, WindowLimit};
use crate::domain::clock::Timestamp;

/// Entries that are examined for removal when a new address arrives. Four keep the table within 4/3
/// of the addresses that have an event in their window, and a decision within a microsecond.
const SWEPT_PER_NEW_ADDRESS: usize = 4;

/// A rate limiter with a sliding window per address, up to a number of addresses, and shared
/// counters for the rest.
///
/// An entry is removed only when its window is empty, so a flood of addresses cannot reset the
/// usage of any address. A full table stays full until entries expire. Meanwhile new addresses use
/// the shared counters, and receive their own window only once their shared counters are zero. One
/// attacker can have 65,536 IPv6 networks, so IPv6 takes at most half of the entries, and the other
/// half stays free for IPv4.
#[derive(Debug)]
pub(super) struct KeyedLimiter {
    limit: WindowLimit,
    capacity: usize,
    windows: HashMap<AddressKey, SlidingWindow>,
    /// Every key of `windows` once; the next to be examined is in front.
    sweep_order: VecDeque<AddressKey>,
    ipv6_count: usize,
    sketch: CountMinSketch,
    sketch_decisions: u64,
}

impl KeyedLimiter {
    /// Returns a limiter that allows each address `limit` events in any `span`, and gives at most
    /// `capacity` addresses a window of their own.
    pub(super) fn new(limit: u32, span: Duration, capacity: usize) -> Self {
        Self {
            limit: WindowLimit::compact(limit, span),
            capacity,
            windows: HashMap::new(),
            sweep_order: VecDeque::new(),
            ipv6_count: 0,
            sketch: CountMinSketch::new(),
            sketch_decisions: 0,
        }
    }

    /// Counts one event at `now`.
    ///
    /// # Errors
    /// The time until one more event is allowed, if the limit is reached. The event is not counted
    /// then.
    pub(super) fn take(&mut self, now: Timestamp, key: AddressKey) -> Result<(), Duration> {
        if let Some(window) = self.windows.get_mut(&key) {
            return window.take(&self.limit, now);
        }
        self.sweep(now, SWEPT_PER_NEW_ADDRESS);
        if self.is_full_for(key) || self.sketch.count(&self.limit, now, key) > 0 {
            self.sketch_decisions = self.sketch_decisions.saturating_add(1);
            return self.sketch.take(&self.limit, now, key);
        }
        let mut window = SlidingWindow::new();
        window.take(&self.limit, now)?;
        self.windows.insert(key, window);
        self.sweep_order.push_back(key);
        self.ipv6_count += usize::from(key.is_ipv6());
        Ok(())
    }

    /// Checks whether [`take`](Self::take) would count an event at `now`.
    ///
    /// # Errors
    /// The time until one more event is allowed.
    pub(super) fn check(&mut self, now: Timestamp, key: AddressKey) -> Result<(), Duration> {
        match self.windows.get_mut(&key) {
            Some(window) => window.check(&self.limit, now),
            None => self.sketch.check(&self.limit, now, key),
        }
    }

    /// Examines at most `max` entries, removes those with an empty window, and returns how many
    /// were removed.
    pub(super) fn sweep(&mut self, now: Timestamp, max: usize) -> usize {
        let before = self.windows.len();
        for _ in 0..max.min(before) {
            let Some(key) = self.sweep_order.pop_front() else { break };
            let Some(window) = self.windows.get_mut(&key) else { continue };
            if window.is_idle(&self.limit, now) {
                self.windows.remove(&key);
                self.ipv6_count -= usize::from(key.is_ipv6());
            } else {
                self.sweep_order.push_back(key);
            }
        }
        before - self.windows.len()
    }

    /// Returns the number of addresses that have their own window.
    pub(super) fn tracked(&self) -> usize {
        self.windows.len()
    }

    /// Returns how many decisions were made by the shared counters.
    pub(super) fn sketch_decisions(&self) -> u64 {
        self.sketch_decisions
    }

    fn is_full_for(&self, key: AddressKey) -> bool {
        self.windows.len() >= self.capacity || (key.is_ipv6() && self.ipv6_count >= self.capacity / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 60_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_700_000_040_000 + ms)
    }

    fn limiter(limit: u32, capacity: usize) -> KeyedLimiter {
        KeyedLimiter::new(limit, Duration::from_secs(60), capacity)
    }

    fn v4(number: u32) -> AddressKey {
        AddressKey::from_ip(Ipv4Addr::from_bits(number).into())
    }

    fn v6(number: u128) -> AddressKey {
        AddressKey::from_ip(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64)).into())
    }

    /// Returns how many more events of an address are allowed at `now`.
    fn remaining(limiter: &mut KeyedLimiter, now: Timestamp, key: AddressKey) -> u32 {
        match limiter.windows.get_mut(&key) {
            Some(window) => window.remaining(&limiter.limit, now),
            None => limiter.limit.limit().saturating_sub(limiter.sketch.count(&limiter.limit, now, key)),
        }
    }

    #[test]
    fn flood_of_addresses_neither_resets_nor_uses_the_limit_of_others() {
        let mut limiter = limiter(3, 100);
        let (exhausted, fresh) = (v4(1), v4(2));
        for _ in 0..3 {
            assert_eq!(limiter.take(at(0), exhausted), Ok(()));
        }
        assert_eq!(limiter.take(at(0), fresh), Ok(()));
        for flood in 0..100_000 {
            let _ = limiter.take(at(1 + i64::from(flood) / 2), v4(1_000 + flood));
            let _ = limiter.take(at(1 + i64::from(flood) / 2), v6(u128::from(flood)));
        }
        assert!(limiter.tracked() <= 100);
        assert_eq!(limiter.take(at(SPAN - 1), exhausted), Err(Duration::from_millis(1)));
        assert_eq!(remaining(&mut limiter, at(SPAN - 1), fresh), 2);
        assert_eq!(limiter.take(at(SPAN), exhausted), Ok(()));
    }

    #[test]
    fn ipv6_leaves_half_of_the_table_to_ipv4() {
        let mut limiter = limiter(3, 100);
        for flood in 0..100_000 {
            let _ = limiter.take(at(0), v6(flood));
        }
        assert_eq!(limiter.tracked(), 50);
        assert!((0..50).all(|visitor| limiter.take(at(0), v4(visitor)).is_ok()));
        assert_eq!(limiter.tracked(), 100);
    }

    #[test]
    fn idle_entries_are_removed_as_new_addresses_arrive() {
        let mut limiter = limiter(3, 100_000);
        for visitor in 0..10_000 {
            assert_eq!(limiter.take(at(i64::from(visitor) * SPAN / 10), v4(visitor)), Ok(()));
        }
        assert!(limiter.tracked() <= 40, "{} tracked while ten have events", limiter.tracked());
    }

    #[test]
    fn memory_is_bounded_for_a_million_addresses() {
        let mut limiter = limiter(60, 100_000);
        for visitor in 0..1_000_000 {
            let _ = limiter.take(at(0), v4(visitor));
        }
        assert_eq!(limiter.tracked(), 100_000);
        // A slot of the map is a key, a window and one byte of metadata; an eighth of the slots is
        // free.
        let slots = (limiter.windows.capacity() * 8).div_ceil(7);
        let bytes = slots * (size_of::<(AddressKey, SlidingWindow)>() + 1)
            + limiter.sweep_order.capacity() * size_of::<AddressKey>();
        assert!(bytes <= 8_000_000, "{bytes}");
    }

    #[test]
    fn sweep_examines_at_most_the_given_number_of_entries() {
        let mut limiter = limiter(3, 100);
        for visitor in 0..100 {
            assert_eq!(limiter.take(at(0), v4(visitor)), Ok(()));
        }
        assert_eq!(limiter.sweep(at(SPAN - 1), 1_000), 0);
        assert_eq!(limiter.sweep(at(SPAN), 30), 30);
        assert_eq!(limiter.sweep(at(SPAN), usize::MAX), 70);
        assert_eq!((limiter.tracked(), limiter.sweep_order.len(), limiter.ipv6_count), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn no_address_exceeds_its_limit_however_full_the_table_is(
            limit in 0_u32..5,
            capacity in 0_usize..6,
            steps in prop::collection::vec((0_i64..6_000, 0_u32..12, any::<bool>()), 1..400),
        ) {
            let mut limiter = limiter(limit, capacity);
            let (mut now, mut taken) = (0, HashMap::<AddressKey, Vec<i64>>::new());
            for (step, who, ipv6) in steps {
                now += step;
                let key = if ipv6 { v6(who.into()) } else { v4(who) };
                let remaining = remaining(&mut limiter, at(now), key);
                let answer = limiter.take(at(now), key);
                prop_assert_eq!(answer.is_ok(), remaining > 0);
                let taken = taken.entry(key).or_default();
                if answer.is_ok() {
                    taken.push(now);
                }
                let seen = taken.iter().filter(|time| now - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(limit).unwrap());
                prop_assert!(limiter.tracked() <= capacity);
                prop_assert_eq!(limiter.tracked(), limiter.sweep_order.len());
                prop_assert_eq!(limiter.ipv6_count, limiter.windows.keys().filter(|key| key.is_ipv6()).count());
            }
        }

        #[test]
        fn addresses_have_their_whole_limit_and_an_exact_wait_while_there_is_room(
            steps in prop::collection::vec((0_i64..9_000, 0_u32..6), 1..300),
        ) {
            let mut limiter = limiter(3, 100);
            let (mut now, mut taken) = (0, HashMap::<u32, Vec<i64>>::new());
            for (step, who) in steps {
                now += step;
                let taken = taken.entry(who).or_default();
                taken.retain(|time| now - *time < SPAN);
                let expected = match *taken.as_slice() {
                    [oldest, _, _] => Err(Duration::from_millis((oldest + SPAN - now).unsigned_abs())),
                    _ => {
                        taken.push(now);
                        Ok(())
                    }
                };
                prop_assert_eq!(limiter.take(at(now), v4(who)), expected);
            }
        }
    }
}
