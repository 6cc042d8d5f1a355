//! A cache of the accounts of sessions and client addresses.
//!
//! The store holds all accounts. The cache holds those needed to refuse a question without a query;
//! an account that is not cached is loaded before its first question is sent.

use std::collections::HashMap;

use crate::budget::{Account, Amount, BudgetLimits};

/// The maximum number of cached accounts. When it is reached, accounts without a reservation are
/// evicted and loaded again when they are needed.
pub const MAX_CACHED: usize = 100_000;

/// The cached accounts.
#[derive(Debug, Default)]
pub struct AccountCache {
    entries: HashMap<Account, CachedAccount>,
}

#[derive(Debug, Default)]
struct CachedAccount {
    used: Amount,
    reserved: Amount,
    /// Another instance has charged the account as well, so `used` is too low.
    stale: bool,
}

impl AccountCache {
    /// Returns the `accounts` that must be loaded from the store before a reservation.
    pub fn missing(&self, accounts: impl IntoIterator<Item = Account>) -> Vec<Account> {
        let is_missing = |account: &Account| self.entries.get(account).is_none_or(|entry| entry.stale);
        accounts.into_iter().filter(is_missing).collect()
    }

    /// Caches an account. `stored` is what is used and reserved according to the store, including
    /// the reservations of this process.
    pub fn insert_loaded(&mut self, account: Account, stored: Amount) {
        self.make_room();
        let entry = self.entries.entry(account).or_default();
        entry.used = stored.saturating_sub(entry.reserved);
        entry.stale = false;
    }

    /// Caches an account that the store cannot load at the moment, as if it were unused. It is loaded
    /// before the next reservation.
    pub fn insert_unknown(&mut self, account: Account) {
        self.make_room();
        self.entries.entry(account).or_default().stale = true;
    }

    fn make_room(&mut self) {
        if self.entries.len() >= MAX_CACHED {
            self.entries.retain(|_, entry| entry.reserved != Amount::default());
        }
    }

    /// Marks an account as outdated, so that it is loaded again.
    pub fn invalidate(&mut self, account: Account) {
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.stale = true;
        }
    }

    /// Returns whether `amount` can be reserved without exceeding `limits`.
    #[must_use]
    pub fn has_room(&self, account: Account, limits: BudgetLimits, amount: Amount) -> bool {
        let entry = self.entries.get(&account);
        let current = entry.map(|entry| entry.used.saturating_add(entry.reserved)).unwrap_or_default();
        limits.allow(current.saturating_add(amount))
    }

    /// Reserves an amount.
    pub fn reserve(&mut self, account: Account, amount: Amount) {
        let entry = self.entries.entry(account).or_default();
        entry.reserved = entry.reserved.saturating_add(amount);
    }

    /// Replaces a reservation by the amount that was used. Does nothing for an evicted account,
    /// which is correct in the store.
    pub fn settle(&mut self, account: Account, reserved: Amount, used: Amount) {
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.reserved = entry.reserved.saturating_sub(reserved);
            entry.used = entry.used.saturating_add(used);
        }
    }

    /// Replaces the amount `charged` earlier by the amount that was used.
    pub fn correct(&mut self, account: Account, charged: Amount, used: Amount) {
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.used = entry.used.saturating_sub(charged).saturating_add(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::SessionId;

    fn tokens(tokens: u64) -> Amount {
        Amount { tokens, nanodollars: 0 }
    }

    const LIMITS: BudgetLimits = BudgetLimits { tokens: Some(100), nanodollars: None };

    #[test]
    fn stored_and_reserved_amounts_count_together() {
        let (mut cache, session) = (AccountCache::default(), Account::Session(SessionId::generate()));
        assert_eq!(cache.missing([session]), [session]);
        cache.insert_loaded(session, tokens(50));
        assert_eq!(cache.missing([session]), []);
        assert!(cache.has_room(session, LIMITS, tokens(50)) && !cache.has_room(session, LIMITS, tokens(51)));
        cache.reserve(session, tokens(50));
        assert!(!cache.has_room(session, LIMITS, tokens(1)));
        cache.settle(session, tokens(50), tokens(10));
        assert!(cache.has_room(session, LIMITS, tokens(40)) && !cache.has_room(session, LIMITS, tokens(41)));
    }

    #[test]
    fn stale_accounts_are_loaded_again_and_own_reservations_are_part_of_the_stored_amount() {
        let (mut cache, session) = (AccountCache::default(), Account::Session(SessionId::generate()));
        cache.insert_loaded(session, tokens(0));
        cache.reserve(session, tokens(30));
        cache.invalidate(session);
        assert_eq!(cache.missing([session]), [session]);
        cache.insert_loaded(session, tokens(90));
        assert!(cache.has_room(session, LIMITS, tokens(10)) && !cache.has_room(session, LIMITS, tokens(11)));
        cache.settle(session, tokens(30), tokens(0));
        assert!(cache.has_room(session, LIMITS, tokens(40)));
    }

    #[test]
    fn unknown_accounts_count_what_this_process_uses_until_they_are_loaded() {
        let (mut cache, session) = (AccountCache::default(), Account::Session(SessionId::generate()));
        cache.insert_unknown(session);
        assert_eq!(cache.missing([session]), [session]);
        cache.reserve(session, tokens(60));
        cache.insert_unknown(session);
        assert!(cache.has_room(session, LIMITS, tokens(40)) && !cache.has_room(session, LIMITS, tokens(41)));
        cache.insert_loaded(session, tokens(90));
        assert!(cache.has_room(session, LIMITS, tokens(10)) && !cache.has_room(session, LIMITS, tokens(11)));
        assert_eq!(cache.missing([session]), []);
    }

    #[test]
    fn only_accounts_without_a_reservation_are_evicted() {
        let (mut cache, busy) = (AccountCache::default(), Account::Session(SessionId::generate()));
        cache.insert_loaded(busy, tokens(5));
        cache.reserve(busy, tokens(5));
        for _ in 0..MAX_CACHED {
            cache.insert_loaded(Account::Session(SessionId::generate()), tokens(1));
        }
        assert!(cache.entries.len() <= MAX_CACHED);
        assert_eq!(cache.missing([busy]), []);
    }
}
