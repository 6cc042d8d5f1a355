//! Shared counts for the addresses that are too many to be told apart.

use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::time::Duration;

use super::AddressKey;
use super::sliding_window::WindowRule;
use crate::domain::clock::Timestamp;

/// Each address counts in one cell of each row and is held to the lesser count. With two rows, who fills a share `p` of
/// the cells shuts out a share `p²` of the others.
const ROWS: u64 = 2;
/// Cells in a row: a few hundred abusive networks fill some per cent of them. Two rows of two windows are 256 KiB.
const CELLS: u64 = 16_384;

/// Counts of the current and the previous window (windows start at multiples of the span), in cells that addresses
/// share by chance and IPv6 addresses of one /48 share always.
///
/// An address's own events are in each of its cells, and any span touches two windows at most: no address ever exceeds
/// the limit. It may be refused early, for what others did or for up to one span too long. Which addresses share a cell
/// depends on a random seed. While nothing overflows there are no cells.
#[derive(Debug)]
pub(super) struct Overflow {
    seed: RandomState,
    /// The current window's number; it starts at this many spans after 1970.
    window: i64,
    current: Vec<u32>,
    previous: Vec<u32>,
}

impl Overflow {
    /// No counts, and a new seed.
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new(), window: 0, current: Vec::new(), previous: Vec::new() }
    }

    /// Counts one event at `now`, or says how long until one more is let through.
    pub(super) fn take(
        &mut self,
        rule: &WindowRule,
        now: Timestamp,
        key: AddressKey,
    ) -> Result<(), Duration> {
        if self.held(rule, now, key) >= rule.limit() {
            return Err(self.wait(rule, now, key));
        }
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

    /// How many events are held against an address at `now`; at least its own.
    pub(super) fn held(&mut self, rule: &WindowRule, now: Timestamp, key: AddressKey) -> u32 {
        self.turn(rule, now);
        let held = self
            .cells(key)
            .map(|cell| count(&self.current, cell).saturating_add(count(&self.previous, cell)));
        held.into_iter().min().unwrap_or(0)
    }

    /// A full cell has room when its previous window's counts are dropped, or its current one's a span later.
    fn wait(&self, rule: &WindowRule, now: Timestamp, key: AddressKey) -> Duration {
        let windows =
            self.cells(key).map(|cell| if count(&self.current, cell) < rule.limit() { 1 } else { 2 });
        let windows = windows.into_iter().min().unwrap_or(2);
        Timestamp(self.window.saturating_add(windows).saturating_mul(millis(rule))).since(now)
    }

    fn turn(&mut self, rule: &WindowRule, now: Timestamp) {
        let window = now.0.div_euclid(millis(rule));
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
            // The clock was set back: all that was counted counts as of now.
            for (count, before) in self.current.iter_mut().zip(previous) {
                *count = count.saturating_add(before);
            }
        }
    }

    fn cells(&self, key: AddressKey) -> [usize; 2] {
        let hash = self.seed.hash_one(key.neighbourhood());
        [index(hash % CELLS), index(CELLS + (hash >> 32) % CELLS)]
    }
}

fn count(window: &[u32], cell: usize) -> u32 {
    window.get(cell).copied().unwrap_or(0)
}

fn index(cell: u64) -> usize {
    usize::try_from(cell).unwrap_or(usize::MAX)
}

fn millis(rule: &WindowRule) -> i64 {
    i64::try_from(rule.span().as_millis()).unwrap_or(i64::MAX).max(1)
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

    fn rule(limit: u32) -> WindowRule {
        WindowRule::new(limit, Duration::from_millis(SPAN.unsigned_abs()))
    }

    fn key(number: u32) -> AddressKey {
        AddressKey::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn there_are_no_cells_while_nothing_overflows() {
        let mut overflow = Overflow::new();
        assert_eq!(overflow.held(&rule(2), at(0), key(1)), 0);
        assert!(overflow.current.is_empty() && overflow.previous.is_empty());
        assert_eq!(overflow.take(&rule(2), at(0), key(1)), Ok(()));
        assert_eq!(overflow.held(&rule(2), at(2 * SPAN), key(1)), 0);
        assert!(overflow.current.is_empty() && overflow.previous.is_empty());
    }

    #[test]
    fn a_customers_slash_48_fills_no_more_than_its_own_cells() {
        let (mut overflow, rule) = (Overflow::new(), rule(60));
        let flood = |net: u16| AddressKey::of(Ipv6Addr::new(0x2001, 0xdb8, 7, net, 0, 0, 0, 1).into());
        let let_through =
            (0..=u16::MAX).filter(|net| overflow.take(&rule, at(0), flood(*net)).is_ok()).count();
        assert_eq!(let_through, 60);
        let victims = (0..10_000).filter(|other| overflow.held(&rule, at(1), key(*other)) > 0).count();
        assert!(victims <= 3, "{victims} share both of two cells with it");
    }

    #[test]
    fn a_thousand_abusive_networks_shut_out_few_others() {
        let (mut overflow, rule) = (Overflow::new(), rule(60));
        for abuser in 0..1_000 {
            while overflow.take(&rule, at(0), key(abuser)).is_ok() {}
        }
        let shut_out =
            (1_000..101_000).filter(|other| overflow.held(&rule, at(1), key(*other)) >= 60).count();
        assert!(shut_out < 1_000, "{shut_out} of 100,000");
    }

    proptest! {
        #[test]
        fn no_span_ever_sees_more_than_the_limit_and_the_wait_is_exact(
            limit in 0_u32..6,
            steps in prop::collection::vec((0_i64..20_000, 0_u32..3), 1..200),
        ) {
            let (mut overflow, rule) = (Overflow::new(), rule(limit));
            let (mut now, mut taken) = (0, Vec::<(i64, u32)>::new());
            for (step, who) in steps {
                now += step;
                match overflow.take(&rule, at(now), key(who)) {
                    Ok(()) => taken.push((now, who)),
                    Err(wait) => {
                        let wait = i64::try_from(wait.as_millis()).unwrap();
                        prop_assert!(0 < wait && wait <= 2 * SPAN);
                        if limit > 0 {
                            let mut later = Overflow { seed: overflow.seed.clone(), window: overflow.window,
                                current: overflow.current.clone(), previous: overflow.previous.clone() };
                            prop_assert!(later.take(&rule, at(now + wait - 1), key(who)).is_err());
                            prop_assert!(later.take(&rule, at(now + wait), key(who)).is_ok());
                        }
                    }
                }
                let seen = taken.iter().filter(|(time, by)| *by == who && now - time < SPAN).count();
                prop_assert!(seen <= usize::try_from(limit).unwrap());
            }
        }

        #[test]
        fn in_real_time_the_limit_holds_through_a_clock_that_is_set_back(
            limit in 1_u32..6,
            steps in prop::collection::vec((0_i64..20_000, prop_oneof![5 => Just(0_i64), 1 => 0_i64..400_000]), 1..200),
        ) {
            let (mut overflow, rule) = (Overflow::new(), rule(limit));
            let (mut real, mut clock, mut taken) = (0, 0, Vec::<i64>::new());
            for (step, back) in steps {
                real += step;
                clock += step - back;
                match overflow.take(&rule, at(clock), key(1)) {
                    Ok(()) => taken.push(real),
                    Err(wait) => prop_assert!(wait <= Duration::from_secs(120)),
                }
                let seen = taken.iter().filter(|time| real - **time < SPAN).count();
                prop_assert!(seen <= usize::try_from(limit).unwrap());
            }
        }
    }
}
