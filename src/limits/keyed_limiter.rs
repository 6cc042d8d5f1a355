//! The sliding windows of all addresses, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::AddressKey;
use super::count_min::Overflow;
use super::sliding_window::{SlidingLog, WindowRule};
use crate::domain::clock::Timestamp;

/// Entries looked at when an address is new. Four keep the table within 4/3 of the addresses that have something in
/// their window, and a decision within a microsecond.
const SWEPT_PER_NEWCOMER: usize = 4;

/// A log for each of at most so many addresses, shared counts for the rest.
///
/// An entry leaves only when its window is empty, so that no flood of addresses makes the table forget what another
/// address (or the flood itself) has used. What is full stays full until entries run out; newcomers overflow meanwhile,
/// and get a log of their own only once nothing is held against them there. IPv6 addresses, which come by the 65,536,
/// take at most half of the entries: a flood of them leaves the other half to IPv4.
#[derive(Debug)]
pub(super) struct WindowTable {
    rule: WindowRule,
    capacity: usize,
    logs: HashMap<AddressKey, SlidingLog>,
    /// Every key of `logs` once, the one to look at next in front.
    round: VecDeque<AddressKey>,
    ipv6: usize,
    overflow: Overflow,
    overflowed: u64,
}

impl WindowTable {
    /// At most `limit` events in any `span` for each address, of which at most `capacity` are told apart.
    pub(super) fn new(limit: u32, span: Duration, capacity: usize) -> Self {
        Self {
            rule: WindowRule::new(limit, span),
            capacity,
            logs: HashMap::new(),
            round: VecDeque::new(),
            ipv6: 0,
            overflow: Overflow::new(),
            overflowed: 0,
        }
    }

    /// Notes one event at `now`, or says how long until one more is let through; nothing is noted then.
    pub(super) fn take(&mut self, now: Timestamp, key: AddressKey) -> Result<(), Duration> {
        if let Some(log) = self.logs.get_mut(&key) {
            return log.take(&self.rule, now);
        }
        self.sweep(now, SWEPT_PER_NEWCOMER);
        if self.is_full_for(key) || self.overflow.held(&self.rule, now, key) > 0 {
            self.overflowed = self.overflowed.saturating_add(1);
            return self.overflow.take(&self.rule, now, key);
        }
        let mut log = SlidingLog::new();
        log.take(&self.rule, now)?;
        self.logs.insert(key, log);
        self.round.push_back(key);
        self.ipv6 += usize::from(key.is_ipv6());
        Ok(())
    }

    /// How many more events would be let through at `now`.
    pub(super) fn remaining(&mut self, now: Timestamp, key: AddressKey) -> u32 {
        match self.logs.get_mut(&key) {
            Some(log) => log.remaining(&self.rule, now),
            None => self.rule.limit().saturating_sub(self.overflow.held(&self.rule, now, key)),
        }
    }

    /// Looks at as many as `at_most` entries and drops those with nothing in their window; tells how many it dropped.
    pub(super) fn sweep(&mut self, now: Timestamp, at_most: usize) -> usize {
        let before = self.logs.len();
        for _ in 0..at_most.min(before) {
            let Some(key) = self.round.pop_front() else { break };
            let Some(log) = self.logs.get_mut(&key) else { continue };
            if log.is_idle(&self.rule, now) {
                self.logs.remove(&key);
                self.ipv6 -= usize::from(key.is_ipv6());
            } else {
                self.round.push_back(key);
            }
        }
        before - self.logs.len()
    }

    /// Addresses with a log of their own.
    pub(super) fn tracked(&self) -> usize {
        self.logs.len()
    }

    /// Decisions so far that shared counts made.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    fn is_full_for(&self, key: AddressKey) -> bool {
        self.logs.len() >= self.capacity || (key.is_ipv6() && self.ipv6 >= self.capacity / 2)
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

    fn table(limit: u32, capacity: usize) -> WindowTable {
        WindowTable::new(limit, Duration::from_secs(60), capacity)
    }

    fn v4(number: u32) -> AddressKey {
        AddressKey::of(Ipv4Addr::from_bits(number).into())
    }

    fn v6(number: u128) -> AddressKey {
        AddressKey::of(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64)).into())
    }

    #[test]
    fn a_flood_neither_frees_an_address_that_used_its_limit_nor_takes_from_one_that_did_not() {
        let mut table = table(3, 100);
        let (spent, fresh) = (v4(1), v4(2));
        for _ in 0..3 {
            assert_eq!(table.take(at(0), spent), Ok(()));
        }
        assert_eq!(table.take(at(0), fresh), Ok(()));
        for flood in 0..100_000 {
            let _ = table.take(at(1 + i64::from(flood) / 2), v4(1_000 + flood));
            let _ = table.take(at(1 + i64::from(flood) / 2), v6(u128::from(flood)));
        }
        assert!(table.tracked() <= 100);
        assert_eq!(table.take(at(SPAN - 1), spent), Err(Duration::from_millis(1)));
        assert_eq!(table.remaining(at(SPAN - 1), fresh), 2);
        assert_eq!(table.take(at(SPAN), spent), Ok(()));
    }

    #[test]
    fn ipv6_leaves_half_of_the_table_to_ipv4() {
        let mut table = table(3, 100);
        for flood in 0..100_000 {
            let _ = table.take(at(0), v6(flood));
        }
        assert_eq!(table.tracked(), 50);
        assert!((0..50).all(|visitor| table.take(at(0), v4(visitor)).is_ok()));
        assert_eq!(table.tracked(), 100);
    }

    #[test]
    fn idle_entries_go_as_new_addresses_come() {
        let mut table = table(3, 100_000);
        for visitor in 0..10_000 {
            assert_eq!(table.take(at(i64::from(visitor) * SPAN / 10), v4(visitor)), Ok(()));
        }
        assert!(table.tracked() <= 40, "{} tracked where ten are live", table.tracked());
    }

    #[test]
    fn a_million_addresses_cost_no_more_than_the_table_may_hold() {
        let mut table = table(60, 100_000);
        for visitor in 0..1_000_000 {
            let _ = table.take(at(0), v4(visitor));
        }
        assert_eq!(table.tracked(), 100_000);
        // A slot of the map is a key, a log and a byte of its own; an eighth of the slots is left free.
        let slots = (table.logs.capacity() * 8).div_ceil(7);
        let bytes = slots * (size_of::<(AddressKey, SlidingLog)>() + 1)
            + table.round.capacity() * size_of::<AddressKey>();
        assert!(bytes <= 8_000_000, "{bytes}");
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_it_was_told() {
        let mut table = table(3, 100);
        for visitor in 0..100 {
            assert_eq!(table.take(at(0), v4(visitor)), Ok(()));
        }
        assert_eq!(table.sweep(at(SPAN - 1), 1_000), 0);
        assert_eq!(table.sweep(at(SPAN), 30), 30);
        assert_eq!(table.sweep(at(SPAN), usize::MAX), 70);
        assert_eq!((table.tracked(), table.round.len(), table.ipv6), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn no_span_ever_sees_more_than_the_limit_of_any_address_however_full_the_table(
            limit in 0_u32..5,
            capacity in 0_usize..6,
            steps in prop::collection::vec((0_i64..6_000, 0_u32..12, any::<bool>()), 1..400),
        ) {
            let mut table = table(limit, capacity);
            let (mut now, mut taken) = (0, HashMap::<AddressKey, Vec<i64>>::new());
            for (step, who, ipv6) in steps {
                now += step;
                let key = if ipv6 { v6(who.into()) } else { v4(who) };
                let remaining = table.remaining(at(now), key);
                let answer = table.take(at(now), key);
                prop_assert_eq!(answer.is_ok(), remaining > 0);
                let taken = taken.entry(key).or_default();
                if answer.is_ok() {
                    taken.push(now);
                }
                let seen = taken.iter().filter(|time| now - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(limit).unwrap());
                prop_assert!(table.tracked() <= capacity);
                prop_assert_eq!(table.tracked(), table.round.len());
                prop_assert_eq!(table.ipv6, table.logs.keys().filter(|key| key.is_ipv6()).count());
            }
        }

        #[test]
        fn while_there_is_room_every_address_has_its_whole_limit_and_an_exact_wait(
            steps in prop::collection::vec((0_i64..9_000, 0_u32..6), 1..300),
        ) {
            let mut table = table(3, 100);
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
                prop_assert_eq!(table.take(at(now), v4(who)), expected);
            }
        }
    }
}
