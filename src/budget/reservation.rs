//! The accounts shared between answers, and the reservation of each answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::account_cache::AccountCache;
use crate::budget::amount::{dollars, nanodollars};
use crate::budget::{
    Account, AddressHasher, Amount, BudgetPolicy, Day, DayLedger, LedgerTotals, LimitExceeded, Payer, Prices,
};
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::domain::turn::Usage;
use crate::limits::AddressKey;
use crate::telemetry::metrics::BudgetMetrics;

/// All accounts of this process. A mutex suffices, because every operation takes about a
/// microsecond.
#[derive(Debug)]
pub struct BudgetTracker {
    /// The limits of the accounts.
    pub policy: BudgetPolicy,
    /// The prices of requests whose cost the model server does not report.
    pub prices: Prices,
    address_hasher: AddressHasher,
    accounts: Mutex<Accounts>,
    stored_usage_added: AtomicBool,
}

#[derive(Debug)]
struct Accounts {
    day: DayLedger,
    cache: AccountCache,
}

/// The amount reserved for one answer. If it is dropped without being settled, for example by a
/// panic, all of it counts as used.
#[derive(Debug)]
pub struct Reservation {
    tracker: Arc<BudgetTracker>,
    /// The accounts that the amount is reserved in. The account of the day comes first.
    pub accounts: Vec<Account>,
    /// The initial amount, without later extensions.
    pub amount: Amount,
    day: Day,
    /// The amount of later extensions, which the store records only with the settlement.
    extension: Mutex<Amount>,
    settled: AtomicBool,
}

impl BudgetTracker {
    /// Creates a tracker with empty accounts.
    #[must_use]
    pub fn new(policy: BudgetPolicy, prices: Prices, address_hasher: AddressHasher) -> Arc<Self> {
        let accounts = Accounts { day: DayLedger::new(policy.day), cache: AccountCache::default() };
        Arc::new(Self {
            policy,
            prices,
            address_hasher,
            accounts: Mutex::new(accounts),
            stored_usage_added: AtomicBool::new(false),
        })
    }

    /// Returns the payer of an answer.
    #[must_use]
    pub fn payer(&self, session: SessionId, address: AddressKey) -> Payer {
        Payer { session, address: self.address_hasher.digest(address) }
    }

    /// Returns the accounts that must be loaded from the store before a reservation for `payer`.
    #[must_use]
    pub fn missing_accounts(&self, now: Timestamp, payer: Payer) -> Vec<Account> {
        let narrow = self.policy.accounts(Day::from_timestamp(now), payer).into_iter().skip(1);
        self.lock().cache.missing(narrow)
    }

    /// Caches an account with the used and reserved amount that the store has for it.
    pub fn insert_loaded(&self, account: Account, stored: Amount) {
        self.lock().cache.insert_loaded(account, stored);
    }

    /// Marks the accounts of addresses and sessions as outdated, because another instance has
    /// charged them as well.
    pub fn invalidate(&self, accounts: &[Account]) {
        let mut locked = self.lock();
        accounts.iter().for_each(|account| locked.cache.invalidate(*account));
    }

    /// Replaces the amount `charged` to accounts by the amount that was used.
    pub fn correct(&self, accounts: &[Account], charged: Amount, used: Amount) {
        let mut locked = self.lock();
        for account in accounts {
            match account {
                Account::Day(day) => locked.day.correct(*day, charged, used),
                narrow => locked.cache.correct(*narrow, charged, used),
            }
        }
    }

    /// Reserves the maximum that a prompt and its answer can use.
    ///
    /// # Errors
    /// [`LimitExceeded`] if an account has too little left; nothing is reserved then.
    pub fn reserve(
        self: &Arc<Self>,
        now: Timestamp,
        payer: Payer,
        prompt_tokens: u32,
        max_completion_tokens: u32,
    ) -> Result<Reservation, LimitExceeded> {
        let amount = self.prices.amount(prompt_tokens, max_completion_tokens);
        let mut locked = self.lock();
        let accounts = self.policy.accounts(Day::from_timestamp(now), payer);
        self.check_narrow_accounts(&locked, &accounts, now, amount)?;
        let day = locked.day.reserve(now, amount)?;
        accounts.iter().skip(1).for_each(|account| locked.cache.reserve(*account, amount));
        drop(locked);
        Ok(Reservation {
            tracker: Arc::clone(self),
            accounts,
            amount,
            day,
            extension: Mutex::default(),
            settled: AtomicBool::new(false),
        })
    }

    fn check_narrow_accounts(
        &self,
        locked: &Accounts,
        accounts: &[Account],
        now: Timestamp,
        amount: Amount,
    ) -> Result<(), LimitExceeded> {
        let has_room =
            |account: &Account| locked.cache.has_room(*account, self.policy.limits(account.scope()), amount);
        match accounts.iter().skip(1).find(|account| !has_room(account)) {
            Some(full) => Err(LimitExceeded::new(full.scope(), now)),
            None => Ok(()),
        }
    }

    /// Returns the amount of an answer's usage, with the reported cost or else the configured
    /// prices.
    #[must_use]
    pub fn used_amount(&self, usage: &Usage) -> Amount {
        let priced = self.prices.amount(usage.prompt_tokens, usage.completion_tokens);
        Amount { nanodollars: usage.cost.map_or(priced.nanodollars, nanodollars), ..priced }
    }

    /// Adds what was used on `day` before this process started. Only the first call has an effect.
    pub fn add_stored(&self, day: Day, stored: Amount) {
        if !self.stored_usage_added.swap(true, Ordering::Relaxed) {
            self.lock().day.add_stored(day, stored);
        }
    }

    /// Returns whether [`add_stored`](Self::add_stored) was called.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.stored_usage_added.load(Ordering::Relaxed)
    }

    /// Returns the amounts of the day of `now`.
    #[must_use]
    pub fn totals(&self, now: Timestamp) -> LedgerTotals {
        self.lock().day.totals(now)
    }

    /// Returns whether the most recent question of the day of `now` was refused.
    #[must_use]
    pub fn is_exhausted(&self, now: Timestamp) -> bool {
        self.lock().day.is_exhausted(now)
    }

    /// Sets the gauges of the day's budget.
    pub fn update_metrics(&self, metrics: &BudgetMetrics, now: Timestamp) {
        let gauge_value = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let LedgerTotals { used, reserved } = self.totals(now);
        metrics.used_tokens.set(gauge_value(used.tokens));
        metrics.reserved_tokens.set(gauge_value(reserved.tokens));
        metrics.limit_tokens.set(gauge_value(self.policy.day.tokens.unwrap_or(0)));
        metrics.used_dollars.set(dollars(used.nanodollars));
        metrics.reserved_dollars.set(dollars(reserved.nanodollars));
        metrics.limit_dollars.set(dollars(self.policy.day.nanodollars.unwrap_or(0)));
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves the maximum of another request for the same answer, because the previous request
    /// was charged.
    ///
    /// # Errors
    /// [`LimitExceeded`] if an account has too little left.
    pub fn extend(
        &self,
        now: Timestamp,
        prompt_tokens: u32,
        max_completion_tokens: u32,
    ) -> Result<(), LimitExceeded> {
        let amount = self.tracker.prices.amount(prompt_tokens, max_completion_tokens);
        let mut locked = self.tracker.lock();
        self.tracker.check_narrow_accounts(&locked, &self.accounts, now, amount)?;
        // After midnight the extension still counts for the day of the question, whose limit no
        // longer matters.
        if Day::from_timestamp(now) == self.day {
            locked.day.reserve(now, amount)?;
        }
        self.accounts.iter().skip(1).for_each(|account| locked.cache.reserve(*account, amount));
        drop(locked);
        let mut extension = self.extension.lock().unwrap_or_else(PoisonError::into_inner);
        *extension = extension.saturating_add(amount);
        Ok(())
    }

    /// Replaces the reservation by the amount that was used.
    pub fn settle(self, used: Amount) {
        self.settle_once(used);
    }

    /// Releases the whole reservation after the store has refused it. Another instance must have
    /// charged the same accounts, so they are loaded again. The refused amount is not in the store.
    pub fn release(&self) {
        self.settle_once(Amount::default());
        self.tracker.invalidate(&self.accounts);
    }

    fn settle_once(&self, used: Amount) {
        if self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let reserved = self.total();
        let mut locked = self.tracker.lock();
        locked.day.settle(self.day, reserved, used);
        self.accounts.iter().skip(1).for_each(|account| locked.cache.settle(*account, reserved, used));
    }

    fn total(&self) -> Amount {
        self.amount.saturating_add(*self.extension.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle_once(self.total());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::BudgetLimits;
    use crate::domain::budget_scope::BudgetScope;

    const NOW: Timestamp = Timestamp(0);

    fn tracker(day: Option<u64>, session: Option<u64>) -> (Arc<BudgetTracker>, Payer) {
        let limits = |tokens| BudgetLimits { tokens, nanodollars: None };
        let policy = BudgetPolicy { day: limits(day), session: limits(session), ..BudgetPolicy::default() };
        let tracker = BudgetTracker::new(policy, Prices::default(), AddressHasher::new(b""));
        let payer = tracker.payer(SessionId::generate(), AddressKey::from_ip([127, 0, 0, 1].into()));
        (tracker, payer)
    }

    #[test]
    fn unsettled_reservations_count_as_used() {
        let (tracker, payer) = tracker(Some(100), None);
        drop(tracker.reserve(NOW, payer, 30, 20).unwrap());
        assert_eq!(tracker.totals(NOW).used.tokens, 50);
        let second = tracker.reserve(NOW, payer, 30, 20).unwrap();
        assert!(tracker.reserve(NOW, payer, 0, 1).is_err());
        second.settle(Amount::default());
        let used = Amount { tokens: 50, nanodollars: 0 };
        assert_eq!(tracker.totals(NOW), LedgerTotals { used, reserved: Amount::default() });
    }

    #[test]
    fn corrections_change_the_room_in_the_charged_accounts() {
        let (tracker, payer) = tracker(Some(100), Some(90));
        let tokens = |tokens| Amount { tokens, nanodollars: 0 };
        let reservation = tracker.reserve(NOW, payer, 0, 80).unwrap();
        let accounts = reservation.accounts.clone();
        reservation.settle(tokens(80));
        assert!(tracker.reserve(NOW, payer, 0, 30).is_err());
        tracker.correct(&accounts, tokens(80), tokens(60));
        assert_eq!(tracker.totals(NOW).used, tokens(60));
        tracker.reserve(NOW, payer, 0, 30).unwrap().settle(tokens(0));
        tracker.correct(&accounts, tokens(60), tokens(90));
        assert_eq!(tracker.reserve(NOW, payer, 0, 1).unwrap_err().scope, BudgetScope::Session);
    }

    #[test]
    fn exhausted_session_is_refused_and_another_is_not() {
        let (tracker, payer) = tracker(Some(200), Some(60));
        let first = tracker.reserve(NOW, payer, 30, 20).unwrap();
        let refused = tracker.reserve(NOW, payer, 10, 1).unwrap_err();
        assert_eq!(refused, LimitExceeded { scope: BudgetScope::Session, retry_after: None });
        let other = Payer { session: SessionId::generate(), ..payer };
        assert!(tracker.reserve(NOW, other, 10, 1).is_ok());
        first.settle(Amount::default());
        assert!(tracker.reserve(NOW, payer, 30, 30).is_ok());
    }

    #[test]
    fn extensions_need_room_and_are_settled_with_the_reservation() {
        let (tracker, payer) = tracker(Some(100), Some(90));
        let reservation = tracker.reserve(NOW, payer, 20, 20).unwrap();
        reservation.extend(NOW, 20, 20).unwrap();
        assert_eq!(reservation.extend(NOW, 20, 20).unwrap_err().scope, BudgetScope::Session);
        assert_eq!(tracker.totals(NOW).reserved.tokens, 80);
        reservation.settle(Amount { tokens: 70, nanodollars: 0 });
        let totals = tracker.totals(NOW);
        assert_eq!((totals.used.tokens, totals.reserved.tokens), (70, 0));
        assert!(tracker.reserve(NOW, payer, 10, 11).is_err());
        assert!(tracker.reserve(NOW, payer, 10, 10).is_ok());
    }
}
