//! The accounts shared between answers, each of which holds what is set aside for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::account_cache::Books;
use crate::budget::amount::nanodollars;
use crate::budget::{Account, AddressKeeper, Amount, Asker, Budget, CeilingReached, Day, DayLedger, Prices};
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::domain::turn::Usage;
use crate::limits::AddressKey;

/// The accounts, with what they are reckoned by. Every decision takes about a microsecond, so a lock serves.
#[derive(Debug)]
pub struct Spending {
    /// What may be taken.
    pub budget: Budget,
    /// What tokens cost where the model's server does not say.
    pub prices: Prices,
    addresses: AddressKeeper,
    kept: Mutex<Kept>,
    known: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    day: DayLedger,
    books: Books,
}

/// What is set aside for one answer. One that is dropped unsettled, by a panic say, counts as taken whole.
#[derive(Debug)]
pub struct Reservation {
    spending: Arc<Spending>,
    /// The accounts it is set aside in, the day's first.
    pub accounts: Vec<Account>,
    /// How much, to begin with.
    pub amount: Amount,
    day: Day,
    /// What was set aside later. The store learns of it when it is taken.
    more: Mutex<Amount>,
    settled: AtomicBool,
}

impl Spending {
    /// Accounts of which nothing is known yet.
    #[must_use]
    pub fn new(budget: Budget, prices: Prices, addresses: AddressKeeper) -> Arc<Self> {
        let kept = Kept { day: DayLedger::new(budget.day), books: Books::default() };
        Arc::new(Self { budget, prices, addresses, kept: Mutex::new(kept), known: AtomicBool::new(false) })
    }

    /// Who asks.
    #[must_use]
    pub fn asker(&self, session: SessionId, address: AddressKey) -> Asker {
        Asker { session, address: self.addresses.digest(address) }
    }

    /// The accounts that must be read from the store before `asker` asks at `now`.
    #[must_use]
    pub fn unknown(&self, now: Timestamp, asker: Asker) -> Vec<Account> {
        let narrow = self.budget.accounts(Day::of(now), asker).into_iter().skip(1);
        self.lock().books.unknown(narrow)
    }

    /// The store has so much taken and set aside in an account.
    pub fn learn(&self, account: Account, stored: Amount) {
        self.lock().books.learn(account, stored);
    }

    /// Has the narrow accounts read again: another server has charged them, too.
    pub fn doubt(&self, accounts: &[Account]) {
        let mut kept = self.lock();
        accounts.iter().for_each(|account| kept.books.doubt(*account));
    }

    /// Counts something else for what was taken in accounts.
    pub fn correct(&self, accounts: &[Account], counted: Amount, taken: Amount) {
        let mut kept = self.lock();
        for account in accounts {
            match account {
                Account::Day(day) => kept.day.correct(*day, counted, taken),
                narrow => kept.books.correct(*narrow, counted, taken),
            }
        }
    }

    /// Sets aside what a prompt and the longest answer to it take.
    ///
    /// # Errors
    /// [`CeilingReached`] when that is more than what is left of an account; nothing is set aside then.
    pub fn reserve(
        self: &Arc<Self>,
        now: Timestamp,
        asker: Asker,
        prompt_tokens: u32,
        most_completion_tokens: u32,
    ) -> Result<Reservation, CeilingReached> {
        let amount = self.prices.amount(prompt_tokens, most_completion_tokens);
        let mut kept = self.lock();
        let accounts = self.budget.accounts(Day::of(now), asker);
        self.narrow_ones_have_room(&kept, &accounts, now, amount)?;
        let day = kept.day.set_aside(now, amount)?;
        accounts.iter().skip(1).for_each(|account| kept.books.set_aside(*account, amount));
        drop(kept);
        let (spending, more) = (Arc::clone(self), Mutex::default());
        Ok(Reservation { spending, accounts, amount, day, more, settled: AtomicBool::new(false) })
    }

    fn narrow_ones_have_room(
        &self,
        kept: &Kept,
        accounts: &[Account],
        now: Timestamp,
        amount: Amount,
    ) -> Result<(), CeilingReached> {
        let has_room =
            |account: &Account| kept.books.has_room(*account, self.budget.of(account.scope()), amount);
        match accounts.iter().skip(1).find(|account| !has_room(account)) {
            Some(full) => Err(CeilingReached::of(full.scope(), now)),
            None => Ok(()),
        }
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
            self.lock().day.add_stored(day, stored);
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
        self.lock().day.standing(now)
    }

    /// Whether the last question of the day of `now` found too little left.
    #[must_use]
    pub fn is_used_up(&self, now: Timestamp) -> bool {
        self.lock().day.is_used_up(now)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Sets aside as much again as a further request for the same answer may take, because the one before it was charged.
    ///
    /// # Errors
    /// [`CeilingReached`] when that is more than what is left of an account.
    pub fn extend(
        &self,
        now: Timestamp,
        prompt_tokens: u32,
        most_completion_tokens: u32,
    ) -> Result<(), CeilingReached> {
        let amount = self.spending.prices.amount(prompt_tokens, most_completion_tokens);
        let mut kept = self.spending.lock();
        self.spending.narrow_ones_have_room(&kept, &self.accounts, now, amount)?;
        // What is asked before midnight counts for that day, in whose account nobody is refused any more.
        if Day::of(now) == self.day {
            kept.day.set_aside(now, amount)?;
        }
        self.accounts.iter().skip(1).for_each(|account| kept.books.set_aside(*account, amount));
        drop(kept);
        let mut more = self.more.lock().unwrap_or_else(PoisonError::into_inner);
        *more = more.plus(amount);
        Ok(())
    }

    /// Counts what was really taken instead.
    pub fn settle(self, taken: Amount) {
        self.settle_with(taken);
    }

    /// Gives all of it back: the store has refused it, so another server has charged these accounts, too, and the narrow ones must
    /// be read again. What is set aside is not in what will be read.
    pub fn refused(&self) {
        self.settle_with(Amount::default());
        self.spending.doubt(&self.accounts);
    }

    fn settle_with(&self, taken: Amount) {
        if self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let set_aside = self.in_all();
        let mut kept = self.spending.lock();
        kept.day.settle(self.day, set_aside, taken);
        self.accounts.iter().skip(1).for_each(|account| kept.books.settle(*account, set_aside, taken));
    }

    fn in_all(&self) -> Amount {
        self.amount.plus(*self.more.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle_with(self.in_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Ceilings, Scope};

    const NOW: Timestamp = Timestamp(0);

    fn spending(day: Option<u64>, session: Option<u64>) -> (Arc<Spending>, Asker) {
        let of = |tokens| Ceilings { tokens, nanodollars: None };
        let budget = Budget { day: of(day), session: of(session), ..Budget::default() };
        let spending = Spending::new(budget, Prices::default(), AddressKeeper::new(b""));
        let asker = spending.asker(SessionId::generate(), AddressKey::from_ip([127, 0, 0, 1].into()));
        (spending, asker)
    }

    #[test]
    fn a_reservation_that_nobody_settles_counts_as_taken() {
        let (spending, asker) = spending(Some(100), None);
        drop(spending.reserve(NOW, asker, 30, 20).unwrap());
        assert_eq!(spending.standing(NOW).0.tokens, 50);
        let second = spending.reserve(NOW, asker, 30, 20).unwrap();
        assert!(spending.reserve(NOW, asker, 0, 1).is_err());
        second.settle(Amount::default());
        assert_eq!(spending.standing(NOW), (Amount { tokens: 50, nanodollars: 0 }, Amount::default()));
    }

    #[test]
    fn a_correction_makes_or_takes_room_where_it_was_counted() {
        let (spending, asker) = spending(Some(100), Some(90));
        let tokens = |tokens| Amount { tokens, nanodollars: 0 };
        let it = spending.reserve(NOW, asker, 0, 80).unwrap();
        let accounts = it.accounts.clone();
        it.settle(tokens(80));
        assert!(spending.reserve(NOW, asker, 0, 30).is_err());
        spending.correct(&accounts, tokens(80), tokens(60));
        assert_eq!(spending.standing(NOW).0, tokens(60));
        spending.reserve(NOW, asker, 0, 30).unwrap().settle(tokens(0));
        spending.correct(&accounts, tokens(60), tokens(90));
        assert_eq!(spending.reserve(NOW, asker, 0, 1).unwrap_err().scope, Scope::Session);
    }

    #[test]
    fn a_session_that_has_taken_its_share_is_refused_and_another_is_not() {
        let (spending, asker) = spending(Some(200), Some(60));
        let first = spending.reserve(NOW, asker, 30, 20).unwrap();
        let refused = spending.reserve(NOW, asker, 10, 1).unwrap_err();
        assert_eq!(refused, CeilingReached { scope: Scope::Session, retry_after: None });
        let other = Asker { session: SessionId::generate(), ..asker };
        assert!(spending.reserve(NOW, other, 10, 1).is_ok());
        first.settle(Amount::default());
        assert!(spending.reserve(NOW, asker, 30, 30).is_ok());
    }

    #[test]
    fn a_further_request_needs_room_of_its_own_and_all_of_it_is_settled_together() {
        let (spending, asker) = spending(Some(100), Some(90));
        let it = spending.reserve(NOW, asker, 20, 20).unwrap();
        it.extend(NOW, 20, 20).unwrap();
        assert_eq!(it.extend(NOW, 20, 20).unwrap_err().scope, Scope::Session);
        assert_eq!(spending.standing(NOW).1.tokens, 80);
        it.settle(Amount { tokens: 70, nanodollars: 0 });
        assert_eq!((spending.standing(NOW).0.tokens, spending.standing(NOW).1.tokens), (70, 0));
        assert!(spending.reserve(NOW, asker, 10, 11).is_err());
        assert!(spending.reserve(NOW, asker, 10, 10).is_ok());
    }
}
