//! The day's account shared between answers, each of which holds what is set aside for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::amount::nanodollars;
use super::{Amount, CeilingReached, Ceilings, Day, DayLedger, Prices};
use crate::clock::Timestamp;
use crate::protocol::server::Usage;

/// The day's account, with what it is reckoned by. Every decision takes well under a microsecond, so a lock serves.
#[derive(Debug)]
pub struct Spending {
    /// What a day may take.
    pub ceilings: Ceilings,
    /// What tokens cost where the model's server does not say.
    pub prices: Prices,
    ledger: Mutex<DayLedger>,
    known: AtomicBool,
}

/// What is set aside for one answer. One that is dropped unsettled, by a panic say, counts as taken whole.
#[derive(Debug)]
pub struct Reservation {
    spending: Arc<Spending>,
    /// The day it counts for.
    pub day: Day,
    /// How much.
    pub amount: Amount,
    settled: bool,
}

impl Spending {
    /// An account of which nothing is known yet.
    #[must_use]
    pub fn new(ceilings: Ceilings, prices: Prices) -> Arc<Self> {
        Arc::new(Self {
            ceilings,
            prices,
            ledger: Mutex::new(DayLedger::new(ceilings)),
            known: AtomicBool::new(false),
        })
    }

    /// Sets aside what a prompt and the longest answer to it take.
    ///
    /// # Errors
    /// [`CeilingReached`] when that is more than what is left of the day.
    pub fn reserve(
        self: &Arc<Self>,
        now: Timestamp,
        prompt_tokens: u32,
        most_completion_tokens: u32,
    ) -> Result<Reservation, CeilingReached> {
        let amount = self.prices.amount(prompt_tokens, most_completion_tokens);
        let day = self.lock().set_aside(now, amount)?;
        Ok(Reservation { spending: Arc::clone(self), day, amount, settled: false })
    }

    /// What an answer took, by the cost that the model's server named or else by the prices.
    #[must_use]
    pub fn taken(&self, usage: &Usage) -> Amount {
        let counted = self.prices.amount(usage.prompt_tokens, usage.completion_tokens);
        Amount { nanodollars: usage.cost.map_or(counted.nanodollars, nanodollars), ..counted }
    }

    /// Adds what the store knows was taken on `day` before this process began; once, whoever says it again.
    pub fn add_stored(&self, day: Day, stored: Amount) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.lock().add_stored(day, stored);
        }
    }

    /// Whether that was done.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// What was taken on the day of `now`, and what is set aside.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> (Amount, Amount) {
        self.lock().standing(now)
    }

    /// Whether the last question of the day of `now` found too little left.
    #[must_use]
    pub fn is_used_up(&self, now: Timestamp) -> bool {
        self.lock().is_used_up(now)
    }

    fn lock(&self) -> MutexGuard<'_, DayLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Counts what was really taken instead.
    pub fn settle(mut self, taken: Amount) {
        self.settle_with(taken);
    }

    fn settle_with(&mut self, taken: Amount) {
        self.settled = true;
        self.spending.lock().settle(self.day, self.amount, taken);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.settle_with(self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_that_nobody_settles_counts_as_taken() {
        let ceilings = Ceilings { tokens: Some(100), nanodollars: None };
        let (spending, now) = (Spending::new(ceilings, Prices::default()), Timestamp(0));
        drop(spending.reserve(now, 30, 20).unwrap());
        assert_eq!(spending.standing(now).0.tokens, 50);
        let second = spending.reserve(now, 30, 20).unwrap();
        assert!(spending.reserve(now, 0, 1).is_err());
        second.settle(Amount::default());
        assert_eq!(spending.standing(now), (Amount { tokens: 50, nanodollars: 0 }, Amount::default()));
    }
}
