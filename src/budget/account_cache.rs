//! The accounts of single sessions and addresses, as far as this process knows them. A plain value.
//!
//! The store has them all; here is what is needed to refuse at once. One that is not known is read from the store before its
//! first question is asked.

use std::collections::HashMap;

use crate::budget::{Account, Amount, Ceilings};

/// Accounts that are kept in memory. When there are more, those with nothing set aside are forgotten, and read again when they
/// are needed.
pub const MOST_KNOWN: usize = 100_000;

/// What is known of single accounts.
#[derive(Debug, Default)]
pub struct Books {
    known: HashMap<Account, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    taken: Amount,
    set_aside: Amount,
    /// Another server has charged it, too.
    doubted: bool,
}

impl Books {
    /// Those of these accounts that must be read from the store before anything is set aside there.
    pub fn unknown(&self, accounts: impl IntoIterator<Item = Account>) -> Vec<Account> {
        let is_unknown = |account: &Account| self.known.get(account).is_none_or(|entry| entry.doubted);
        accounts.into_iter().filter(is_unknown).collect()
    }

    /// The store has so much taken and set aside in an account.
    pub fn learn(&mut self, account: Account, stored: Amount) {
        if self.known.len() >= MOST_KNOWN {
            self.known.retain(|_, entry| entry.set_aside != Amount::default());
        }
        let entry = self.known.entry(account).or_default();
        entry.taken = stored.less(entry.set_aside);
        entry.doubted = false;
    }

    /// The store knows better.
    pub fn doubt(&mut self, account: Account) {
        if let Some(entry) = self.known.get_mut(&account) {
            entry.doubted = true;
        }
    }

    /// Whether there is room for so much.
    #[must_use]
    pub fn has_room(&self, account: Account, ceilings: Ceilings, amount: Amount) -> bool {
        let entry = self.known.get(&account);
        let before = entry.map(|entry| entry.taken.plus(entry.set_aside)).unwrap_or_default();
        ceilings.hold(before.plus(amount))
    }

    /// Sets an amount aside.
    pub fn set_aside(&mut self, account: Account, amount: Amount) {
        let entry = self.known.entry(account).or_default();
        entry.set_aside = entry.set_aside.plus(amount);
    }

    /// Counts what was really taken of what was set aside. An account that is not known any more is right in the store.
    pub fn settle(&mut self, account: Account, set_aside: Amount, taken: Amount) {
        if let Some(entry) = self.known.get_mut(&account) {
            entry.set_aside = entry.set_aside.less(set_aside);
            entry.taken = entry.taken.plus(taken);
        }
    }

    /// Counts something else for what was taken.
    pub fn correct(&mut self, account: Account, counted: Amount, taken: Amount) {
        if let Some(entry) = self.known.get_mut(&account) {
            entry.taken = entry.taken.less(counted).plus(taken);
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

    const MOST: Ceilings = Ceilings { tokens: Some(100), nanodollars: None };

    #[test]
    fn what_is_stored_and_what_is_set_aside_count_together() {
        let (mut books, session) = (Books::default(), Account::Session(SessionId::generate()));
        assert_eq!(books.unknown([session]), [session]);
        books.learn(session, tokens(50));
        assert_eq!(books.unknown([session]), []);
        assert!(books.has_room(session, MOST, tokens(50)) && !books.has_room(session, MOST, tokens(51)));
        books.set_aside(session, tokens(50));
        assert!(!books.has_room(session, MOST, tokens(1)));
        books.settle(session, tokens(50), tokens(10));
        assert!(books.has_room(session, MOST, tokens(40)) && !books.has_room(session, MOST, tokens(41)));
    }

    #[test]
    fn a_doubted_account_is_read_again_and_what_is_set_aside_here_is_in_what_is_stored() {
        let (mut books, session) = (Books::default(), Account::Session(SessionId::generate()));
        books.learn(session, tokens(0));
        books.set_aside(session, tokens(30));
        books.doubt(session);
        assert_eq!(books.unknown([session]), [session]);
        books.learn(session, tokens(90));
        assert!(books.has_room(session, MOST, tokens(10)) && !books.has_room(session, MOST, tokens(11)));
        books.settle(session, tokens(30), tokens(0));
        assert!(books.has_room(session, MOST, tokens(40)));
    }

    #[test]
    fn only_accounts_with_nothing_set_aside_are_forgotten_when_there_are_too_many() {
        let (mut books, busy) = (Books::default(), Account::Session(SessionId::generate()));
        books.learn(busy, tokens(5));
        books.set_aside(busy, tokens(5));
        for _ in 0..MOST_KNOWN {
            books.learn(Account::Session(SessionId::generate()), tokens(1));
        }
        assert!(books.known.len() <= MOST_KNOWN);
        assert_eq!(books.unknown([busy]), []);
    }
}
