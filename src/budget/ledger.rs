//! The day's account: what was taken, what is set aside, and whether more may be. A plain value.

use std::time::Duration;

use crate::budget::{Amount, Ceilings, Day, Scope};
use crate::domain::clock::Timestamp;

/// The account of one day after another. A new day begins with nothing taken; what was set aside before midnight is
/// settled in the account of its own day.
#[derive(Debug)]
pub struct DayLedger {
    ceilings: Ceilings,
    day: Day,
    taken: Amount,
    set_aside: Amount,
    /// The last wish of the day was refused.
    refused: bool,
}

/// As much as may be taken is taken or set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CeilingReached {
    /// In which account.
    pub scope: Scope,
    /// Until the next day begins; `None` where that does not help.
    pub retry_after: Option<Duration>,
}

impl CeilingReached {
    /// What a refusal at `now` means.
    #[must_use]
    pub fn of(scope: Scope, now: Timestamp) -> Self {
        let midnight = Day::of(now).end().since(now);
        Self { scope, retry_after: (scope != Scope::Session).then_some(midnight) }
    }
}

impl DayLedger {
    /// An account of which nothing is known yet.
    #[must_use]
    pub fn new(ceilings: Ceilings) -> Self {
        let nothing = Amount::default();
        Self { ceilings, day: Day::default(), taken: nothing, set_aside: nothing, refused: false }
    }

    /// Adds what the store knows was taken on `day` before this process began.
    pub fn add_stored(&mut self, day: Day, stored: Amount) {
        self.turn_to(day);
        if day == self.day {
            self.taken = self.taken.plus(stored);
        }
    }

    /// Sets an amount aside.
    ///
    /// # Errors
    /// [`CeilingReached`] when it is more than what is left of the day; nothing is set aside then.
    pub fn set_aside(&mut self, now: Timestamp, amount: Amount) -> Result<Day, CeilingReached> {
        self.turn_to(Day::of(now));
        let then = self.taken.plus(self.set_aside).plus(amount);
        self.refused = !self.ceilings.hold(then);
        if self.refused {
            return Err(CeilingReached { scope: Scope::Day, retry_after: Some(self.day.end().since(now)) });
        }
        self.set_aside = self.set_aside.plus(amount);
        Ok(self.day)
    }

    /// Counts what was really taken of what was set aside on `day`; nothing, when it was not needed.
    pub fn settle(&mut self, day: Day, set_aside: Amount, taken: Amount) {
        if day == self.day {
            self.set_aside = self.set_aside.less(set_aside);
            self.taken = self.taken.plus(taken);
        }
    }

    /// Counts something else for what was taken on a day.
    pub fn correct(&mut self, day: Day, counted: Amount, taken: Amount) {
        if day == self.day {
            self.taken = self.taken.less(counted).plus(taken);
        }
    }

    /// What was taken on the day of `now`, and what is set aside.
    pub fn standing(&mut self, now: Timestamp) -> (Amount, Amount) {
        self.turn_to(Day::of(now));
        (self.taken, self.set_aside)
    }

    /// Whether the last question of the day found too little left.
    pub fn is_used_up(&mut self, now: Timestamp) -> bool {
        self.turn_to(Day::of(now));
        self.refused
    }

    /// A clock that was set back does not bring a day back: what it took would be forgotten.
    fn turn_to(&mut self, day: Day) {
        if day > self.day {
            *self = Self { day, ..Self::new(self.ceilings) };
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

    fn of_tokens(most: u64) -> DayLedger {
        DayLedger::new(Ceilings { tokens: Some(most), nanodollars: None })
    }

    #[test]
    fn what_is_set_aside_counts_until_what_was_taken_is_known() {
        let mut ledger = of_tokens(100);
        let day = ledger.set_aside(NOON, tokens(60)).unwrap();
        let refused = ledger.set_aside(NOON, tokens(60));
        assert!(ledger.is_used_up(NOON) && !ledger.is_used_up(day.end()));
        let mut ledger = of_tokens(100);
        assert_eq!(ledger.set_aside(NOON, tokens(60)), Ok(day));
        assert_eq!(refused, Err(CeilingReached { scope: Scope::Day, retry_after: Some(HALF_A_DAY) }));
        ledger.settle(day, tokens(60), tokens(10));
        assert!(ledger.set_aside(NOON, tokens(90)).is_ok());
        assert!(ledger.set_aside(NOON, tokens(1)).is_err());
        assert_eq!(ledger.standing(NOON), (tokens(10), tokens(90)));
    }

    #[test]
    fn money_has_a_ceiling_of_its_own() {
        let mut ledger = DayLedger::new(Ceilings { tokens: None, nanodollars: Some(5) });
        assert!(ledger.set_aside(NOON, Amount { tokens: u64::MAX, nanodollars: 5 }).is_ok());
        assert!(ledger.set_aside(NOON, Amount { tokens: 0, nanodollars: 1 }).is_err());
    }

    #[test]
    fn a_new_day_begins_with_nothing_and_yesterdays_answers_do_not_count_in_it() {
        let mut ledger = of_tokens(100);
        let yesterday = ledger.set_aside(NOON, tokens(100)).unwrap();
        let midnight = yesterday.end();
        let today = ledger.set_aside(midnight, tokens(100)).unwrap();
        ledger.settle(yesterday, tokens(100), tokens(100));
        assert_eq!(ledger.standing(midnight), (tokens(0), tokens(100)));
        // The clock is set back: nothing is given away twice.
        assert!(ledger.set_aside(NOON, tokens(1)).is_err());
        ledger.settle(today, tokens(100), tokens(0));
        assert_eq!(ledger.standing(midnight), (tokens(0), tokens(0)));
    }

    #[test]
    fn what_the_store_knows_counts_and_yesterdays_does_not() {
        let mut ledger = of_tokens(100);
        ledger.add_stored(Day::of(NOON), tokens(70));
        assert!(ledger.set_aside(NOON, tokens(31)).is_err());
        ledger.add_stored(Day(0), tokens(30));
        assert!(ledger.set_aside(NOON, tokens(30)).is_ok());
    }

    proptest! {
        #[test]
        fn no_order_of_questions_and_ends_takes_more_than_the_ceiling(
            most in 1_u64..1_000,
            steps in prop::collection::vec((1_u64..400, 0_u64..=100, any::<bool>()), 1..60),
        ) {
            let mut ledger = of_tokens(most);
            let (mut open, mut taken) = (Vec::new(), 0);
            for (amount, share, ends) in steps {
                if let Some((day, set_aside)) = open.pop().filter(|_| ends) {
                    let used = set_aside * share / 100;
                    ledger.settle(day, tokens(set_aside), tokens(used));
                    taken += used;
                }
                if let Ok(day) = ledger.set_aside(NOON, tokens(amount)) {
                    open.push((day, amount));
                }
                prop_assert_eq!(ledger.standing(NOON).0, tokens(taken));
                prop_assert!(ledger.standing(NOON).0.plus(ledger.standing(NOON).1).tokens <= most);
            }
        }
    }
}
