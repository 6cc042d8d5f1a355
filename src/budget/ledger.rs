//! The account of the current day.

use std::time::Duration;

use crate::budget::{Amount, BudgetLimits, Day};
use crate::domain::budget_scope::BudgetScope;
use crate::domain::clock::Timestamp;

/// The account of the current day. A new day starts empty; a reservation made before midnight is
/// settled in the account of its own day.
#[derive(Debug)]
pub struct DayLedger {
    limits: BudgetLimits,
    day: Day,
    totals: LedgerTotals,
    /// The most recent reservation of the day was refused.
    exhausted: bool,
}

/// The used and reserved amounts of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// What ended answers have used.
    pub used: Amount,
    /// What is reserved for answers in progress.
    pub reserved: Amount,
}

/// A reservation would exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The scope of the account that has too little left.
    pub scope: BudgetScope,
    /// The time until the next day begins; `None` if waiting does not help.
    pub retry_after: Option<Duration>,
}

impl LimitExceeded {
    /// Creates the error of a reservation that was refused at `now`.
    #[must_use]
    pub fn new(scope: BudgetScope, now: Timestamp) -> Self {
        let until_midnight = Day::from_timestamp(now).end().since(now);
        Self { scope, retry_after: (scope != BudgetScope::Session).then_some(until_midnight) }
    }
}

impl DayLedger {
    /// Creates an empty account.
    #[must_use]
    pub fn new(limits: BudgetLimits) -> Self {
        Self { limits, day: Day::default(), totals: LedgerTotals::default(), exhausted: false }
    }

    /// Sets the limits of this day and later ones.
    pub fn set_limits(&mut self, limits: BudgetLimits) {
        self.limits = limits;
    }

    /// Adds what was used on `day` before this process started, according to the store.
    pub fn add_stored(&mut self, day: Day, stored: Amount) {
        self.advance_to(day);
        if day == self.day {
            self.totals.used = self.totals.used.saturating_add(stored);
        }
    }

    /// Reserves an amount and returns the day it is reserved on.
    ///
    /// # Errors
    /// [`LimitExceeded`] if the day has too little left; nothing is reserved then.
    pub fn reserve(&mut self, now: Timestamp, amount: Amount) -> Result<Day, LimitExceeded> {
        self.advance_to(Day::from_timestamp(now));
        let LedgerTotals { used, reserved } = self.totals;
        self.exhausted = !self.limits.allow(used.saturating_add(reserved).saturating_add(amount));
        if self.exhausted {
            let until_midnight = self.day.end().since(now);
            return Err(LimitExceeded { scope: BudgetScope::Day, retry_after: Some(until_midnight) });
        }
        self.totals.reserved = reserved.saturating_add(amount);
        Ok(self.day)
    }

    /// Replaces a reservation of `day` by the amount that was used, which may be zero.
    pub fn settle(&mut self, day: Day, reserved: Amount, used: Amount) {
        if day == self.day {
            self.totals.reserved = self.totals.reserved.saturating_sub(reserved);
            self.totals.used = self.totals.used.saturating_add(used);
        }
    }

    /// Replaces the amount `charged` on `day` by the amount that was used.
    pub fn correct(&mut self, day: Day, charged: Amount, used: Amount) {
        if day == self.day {
            self.totals.used = self.totals.used.saturating_sub(charged).saturating_add(used);
        }
    }

    /// Returns the amounts of the day of `now`.
    pub fn totals(&mut self, now: Timestamp) -> LedgerTotals {
        self.advance_to(Day::from_timestamp(now));
        self.totals
    }

    /// Returns whether the most recent reservation of the day was refused.
    pub fn is_exhausted(&mut self, now: Timestamp) -> bool {
        self.advance_to(Day::from_timestamp(now));
        self.exhausted
    }

    /// Starts a new account if `day` is later. An earlier day is ignored, because a clock that was
    /// set back must not reset the account.
    fn advance_to(&mut self, day: Day) {
        if day > self.day {
            *self = Self { day, ..Self::new(self.limits) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_608_000_000);
    const HALF_A_DAY: Duration = Duration::from_secs(12 * 60 * 60);

    fn tokens(tokens: u64) -> Amount {
        Amount { tokens, nanodollars: 0 }
    }

    fn totals(used: u64, reserved: u64) -> LedgerTotals {
        LedgerTotals { used: tokens(used), reserved: tokens(reserved) }
    }

    fn with_token_limit(limit: u64) -> DayLedger {
        DayLedger::new(BudgetLimits { tokens: Some(limit), nanodollars: None })
    }

    #[test]
    fn reservations_count_until_they_are_settled() {
        let mut ledger = with_token_limit(100);
        let day = ledger.reserve(NOON, tokens(60)).unwrap();
        let refused = ledger.reserve(NOON, tokens(60));
        assert!(ledger.is_exhausted(NOON) && !ledger.is_exhausted(day.end()));
        let mut ledger = with_token_limit(100);
        assert_eq!(ledger.reserve(NOON, tokens(60)), Ok(day));
        assert_eq!(refused, Err(LimitExceeded { scope: BudgetScope::Day, retry_after: Some(HALF_A_DAY) }));
        ledger.settle(day, tokens(60), tokens(10));
        assert!(ledger.reserve(NOON, tokens(90)).is_ok());
        assert!(ledger.reserve(NOON, tokens(1)).is_err());
        assert_eq!(ledger.totals(NOON), totals(10, 90));
    }

    #[test]
    fn cost_has_a_limit_of_its_own() {
        let mut ledger = DayLedger::new(BudgetLimits { tokens: None, nanodollars: Some(5) });
        assert!(ledger.reserve(NOON, Amount { tokens: u64::MAX, nanodollars: 5 }).is_ok());
        assert!(ledger.reserve(NOON, Amount { tokens: 0, nanodollars: 1 }).is_err());
    }

    #[test]
    fn new_day_starts_empty_and_ignores_yesterdays_reservations() {
        let mut ledger = with_token_limit(100);
        let yesterday = ledger.reserve(NOON, tokens(100)).unwrap();
        let midnight = yesterday.end();
        let today = ledger.reserve(midnight, tokens(100)).unwrap();
        ledger.settle(yesterday, tokens(100), tokens(100));
        assert_eq!(ledger.totals(midnight), totals(0, 100));
        // A clock that was set back does not reset the account.
        assert!(ledger.reserve(NOON, tokens(1)).is_err());
        ledger.settle(today, tokens(100), tokens(0));
        assert_eq!(ledger.totals(midnight), totals(0, 0));
    }

    #[test]
    fn stored_usage_counts_only_for_its_own_day() {
        let mut ledger = with_token_limit(100);
        ledger.add_stored(Day::from_timestamp(NOON), tokens(70));
        assert!(ledger.reserve(NOON, tokens(31)).is_err());
        ledger.add_stored(Day(0), tokens(30));
        assert!(ledger.reserve(NOON, tokens(30)).is_ok());
    }

    proptest! {
        #[test]
        fn no_sequence_of_reservations_and_settlements_exceeds_the_limit(
            limit in 1_u64..1_000,
            steps in prop::collection::vec((1_u64..400, 0_u64..=100, any::<bool>()), 1..60),
        ) {
            let mut ledger = with_token_limit(limit);
            let (mut open, mut total_used) = (Vec::new(), 0);
            for (amount, share, ends) in steps {
                if let Some((day, reserved)) = open.pop().filter(|_| ends) {
                    let used = reserved * share / 100;
                    ledger.settle(day, tokens(reserved), tokens(used));
                    total_used += used;
                }
                if let Ok(day) = ledger.reserve(NOON, tokens(amount)) {
                    open.push((day, amount));
                }
                let LedgerTotals { used, reserved } = ledger.totals(NOON);
                prop_assert_eq!(used, tokens(total_used));
                prop_assert!(used.saturating_add(reserved).tokens <= limit);
            }
        }
    }
}
