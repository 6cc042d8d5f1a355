//! The accounts shared between answers, and the reservation of each answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::account_cache::AccountCache;
use crate::budget::amount::{dollars, nanodollars};
use crate::budget::{
    Account, AddressHasher, Amount, BudgetPolicy, DailyCeiling, Day, DayLedger, LedgerTotals, LimitExceeded,
    Payer, Prices,
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
    /// The largest exchange, which the daily cost limit must have room for.
    largest_exchange: Exchange,
    /// The owner has set the prices.
    has_own_prices: bool,
    address_hasher: AddressHasher,
    accounts: Mutex<Accounts>,
    stored_usage_added: AtomicBool,
}

#[derive(Debug)]
struct Accounts {
    day: DayLedger,
    cache: AccountCache,
    policy: BudgetPolicy,
    /// The prices of requests whose cost the model server does not report, if they are known.
    prices: Option<Prices>,
}

/// The tokens of a question and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
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
    /// Creates a tracker with empty accounts. Without prices, only costs that the model server
    /// reports are counted.
    #[must_use]
    pub fn new(
        policy: BudgetPolicy,
        prices: Option<Prices>,
        largest_exchange: Exchange,
        address_hasher: AddressHasher,
    ) -> Arc<Self> {
        let (day, cache) = (DayLedger::new(policy.day), AccountCache::default());
        Arc::new(Self {
            largest_exchange,
            has_own_prices: prices.is_some(),
            address_hasher,
            accounts: Mutex::new(Accounts { day, cache, policy, prices }),
            stored_usage_added: AtomicBool::new(false),
        })
    }

    /// Sets the prices that the model server names. They apply to later reservations and answers,
    /// unless the owner has set prices. The daily cost limit, which is the default then, rises to
    /// the cost of one exchange if that is more.
    ///
    /// Returns whether the prices were set.
    pub fn set_prices(&self, prices: Prices) -> bool {
        let mut locked = self.lock();
        if self.has_own_prices {
            return false;
        }
        let Exchange { prompt_tokens, completion_tokens } = self.largest_exchange;
        let minimum = prices.cost(prompt_tokens, completion_tokens);
        let limit = &mut locked.policy.day.nanodollars;
        *limit = limit.map(|limit| limit.max(minimum));
        let limits = locked.policy.day;
        locked.day.set_limits(limits);
        locked.prices = Some(prices);
        true
    }

    /// Returns the limits of the accounts.
    #[must_use]
    pub fn policy(&self) -> BudgetPolicy {
        self.lock().policy
    }

    /// Returns the prices, if they are known.
    #[must_use]
    pub fn prices(&self) -> Option<Prices> {
        self.lock().prices
    }

    /// Returns the most that a day can take.
    #[must_use]
    pub fn ceiling(&self) -> DailyCeiling {
        let locked = self.lock();
        DailyCeiling::new(&locked.policy, locked.prices)
    }

    /// Returns the payer of an answer.
    #[must_use]
    pub fn payer(&self, session: SessionId, address: AddressKey) -> Payer {
        let network = self.address_hasher.network_digest(address);
        Payer { session, address: self.address_hasher.digest(address), network }
    }

    /// Returns the accounts that must be loaded from the store before a reservation for `payer`.
    #[must_use]
    pub fn missing_accounts(&self, now: Timestamp, payer: Payer) -> Vec<Account> {
        let locked = self.lock();
        let narrow = locked.policy.accounts(Day::from_timestamp(now), payer).into_iter().skip(1);
        locked.cache.missing(narrow)
    }

    /// Caches an account with the used and reserved amount that the store has for it.
    pub fn insert_loaded(&self, account: Account, stored: Amount) {
        self.lock().cache.insert_loaded(account, stored);
    }

    /// Caches accounts that the store cannot load at the moment. Until they are loaded, only what
    /// this process uses counts in them; the account of the day holds as before.
    pub fn insert_unknown(&self, accounts: &[Account]) {
        let mut locked = self.lock();
        accounts.iter().for_each(|account| locked.cache.insert_unknown(*account));
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
        let mut locked = self.lock();
        let amount = locked.amount(prompt_tokens, max_completion_tokens);
        let accounts = locked.policy.accounts(Day::from_timestamp(now), payer);
        locked.check_narrow(&accounts, now, amount)?;
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

    /// Returns the amount of an answer's usage, with the reported cost or else the known prices.
    #[must_use]
    pub fn used_amount(&self, usage: &Usage) -> Amount {
        let priced = self.lock().amount(usage.prompt_tokens, usage.completion_tokens);
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
        let (LedgerTotals { used, reserved }, limits) = (self.totals(now), self.policy().day);
        metrics.used_tokens.set(gauge_value(used.tokens));
        metrics.reserved_tokens.set(gauge_value(reserved.tokens));
        metrics.limit_tokens.set(gauge_value(limits.tokens.unwrap_or(0)));
        metrics.used_dollars.set(dollars(used.nanodollars));
        metrics.reserved_dollars.set(dollars(reserved.nanodollars));
        metrics.limit_dollars.set(dollars(limits.nanodollars.unwrap_or(0)));
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Returns the tokens of a request together with their maximum cost, as far as prices are known.
    fn amount(&self, prompt_tokens: u32, completion_tokens: u32) -> Amount {
        self.prices.unwrap_or_default().amount(prompt_tokens, completion_tokens)
    }

    /// Checks that all accounts but the first, that of the day, have room for an amount.
    fn check_narrow(
        &self,
        accounts: &[Account],
        now: Timestamp,
        amount: Amount,
    ) -> Result<(), LimitExceeded> {
        let has_room =
            |account: &Account| self.cache.has_room(*account, self.policy.limits(account.scope()), amount);
        match accounts.iter().skip(1).find(|account| !has_room(account)) {
            Some(full) => Err(LimitExceeded::new(full.scope(), now)),
            None => Ok(()),
        }
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
        let mut locked = self.tracker.lock();
        let amount = locked.amount(prompt_tokens, max_completion_tokens);
        locked.check_narrow(&self.accounts, now, amount)?;
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
    const EXCHANGE: Exchange = Exchange { prompt_tokens: 6_000, completion_tokens: 2_000 };

    fn tracker(day: Option<u64>, session: Option<u64>) -> (Arc<BudgetTracker>, Payer) {
        let limits = |tokens| BudgetLimits { tokens, nanodollars: None };
        let policy = BudgetPolicy { day: limits(day), session: limits(session), ..BudgetPolicy::default() };
        let tracker = BudgetTracker::new(policy, None, EXCHANGE, AddressHasher::new(b""));
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
    fn prices_of_the_server_count_from_then_on_and_leave_room_for_one_exchange() {
        let dollars = |dollars| BudgetLimits { tokens: None, nanodollars: Some(dollars) };
        let policy = BudgetPolicy { day: dollars(5), ..BudgetPolicy::default() };
        // A prompt token costs 2 billionths, a completion token 8.
        let prices = Prices { prompt: 2_000_000, completion: 8_000_000 };
        let own = Some(Prices { prompt: 1_000_000, completion: 1_000_000 });
        for (own, sets) in [(None, true), (own, false)] {
            let tracker = BudgetTracker::new(policy, own, EXCHANGE, AddressHasher::new(b""));
            let payer = tracker.payer(SessionId::generate(), AddressKey::from_ip([127, 0, 0, 1].into()));
            assert_eq!(tracker.set_prices(prices), sets);
            // The largest exchange has 6,000 tokens of a prompt and 2,000 of an answer.
            let limit = if sets { 28_000 } else { 5 };
            assert_eq!(tracker.policy().day.nanodollars, Some(limit));
            assert_eq!(tracker.reserve(NOW, payer, 6_000, 2_000).is_ok(), sets);
            let usage = Usage { prompt_tokens: 10, completion_tokens: 1, ..Usage::default() };
            assert_eq!(tracker.used_amount(&usage).nanodollars, if sets { 28 } else { 11 });
        }
    }

    #[test]
    fn networks_share_four_times_the_limit_of_an_address() {
        let limits = |tokens| BudgetLimits { tokens: Some(tokens), nanodollars: None };
        let policy =
            BudgetPolicy { address: limits(100), network: limits(100).times(4), ..BudgetPolicy::default() };
        let tracker = BudgetTracker::new(policy, None, EXCHANGE, AddressHasher::new(b""));
        let payer = |address: &str| {
            tracker.payer(SessionId::generate(), AddressKey::from_ip(address.parse().unwrap()))
        };
        let spend = |address: &str| {
            let reservation = tracker.reserve(NOW, payer(address), 50, 50)?;
            reservation.settle(Amount { tokens: 100, nanodollars: 0 });
            Ok::<_, LimitExceeded>(())
        };
        for number in 0..4 {
            assert_eq!(spend(&format!("2001:db8:0:{number}::1")), Ok(()));
        }
        let refused = spend("2001:db8:0:4::1").unwrap_err();
        assert_eq!(refused, LimitExceeded::new(BudgetScope::Network, NOW));
        assert!(refused.retry_after.is_some());
        assert_eq!(spend("2001:db8:0:3::2").unwrap_err().scope, BudgetScope::Address);
        assert_eq!(spend("2001:db8:1::1"), Ok(()));
        assert_eq!(spend("192.0.2.1"), Ok(()));
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
