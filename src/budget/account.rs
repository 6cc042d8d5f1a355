//! Whose account it is that an answer is charged to, and which ceilings hold there.

use sha2::{Digest, Sha256};

use crate::budget::{Ceilings, Day};
use crate::domain::ids::SessionId;
use crate::limits::AddressKey;

/// An account: what was taken, together with what is set aside, is counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// All of a day.
    Day(Day),
    /// What one client address takes on a day.
    Address(Day, AddressDigest),
    /// What one session takes in all its life.
    Session(SessionId),
}

impl Account {
    /// Which ceilings hold for it.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Day(_) => Scope::Day,
            Self::Address(..) => Scope::Address,
            Self::Session(_) => Scope::Session,
        }
    }
}

/// Which kind of account; its variants are fit for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of a day.
    Day,
    /// One client address on a day.
    Address,
    /// One session.
    Session,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Day, Self::Address, Self::Session];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Address => "address",
            Self::Session => "session",
        }
    }
}

/// The ceilings of all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// What a day may take (`DAILY_TOKEN_LIMIT`, `DAILY_COST_LIMIT`).
    pub day: Ceilings,
    /// What a client address may take of it (`DAILY_TOKEN_LIMIT_PER_ADDRESS`, `DAILY_COST_LIMIT_PER_ADDRESS`).
    pub address: Ceilings,
    /// What a session may take (`SESSION_TOKEN_LIMIT`, `SESSION_COST_LIMIT`).
    pub session: Ceilings,
}

impl Budget {
    /// The ceilings of one kind of account.
    #[must_use]
    pub const fn of(&self, scope: Scope) -> Ceilings {
        match scope {
            Scope::Day => self.day,
            Scope::Address => self.address,
            Scope::Session => self.session,
        }
    }

    /// The accounts of an answer to `asker`: the day's always, the others where a ceiling holds.
    #[must_use]
    pub fn accounts(&self, day: Day, asker: Asker) -> Vec<Account> {
        let mut accounts = vec![Account::Day(day)];
        if self.address.are_set() {
            accounts.push(Account::Address(day, asker.address));
        }
        if self.session.are_set() {
            accounts.push(Account::Session(asker.session));
        }
        accounts
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The session.
    pub session: SessionId,
    /// The client's address.
    pub address: AddressDigest,
}

/// What the store has in place of a client's address: SHA-256 of it under a key that is not in the store. There are too few
/// addresses for a digest without a key to hide one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressDigest(pub [u8; 32]);

/// Makes the digests of addresses.
#[derive(Clone)]
pub struct AddressKeeper([u8; 32]);

impl AddressKeeper {
    /// A keeper with a secret, which should be the same after a restart and at every server that shares the store: the API key.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update(b"resume-chatbot client addresses\0")
                .chain_update(secret)
                .finalize()
                .into(),
        )
    }

    /// The digest of an address.
    #[must_use]
    pub fn digest(&self, address: AddressKey) -> AddressDigest {
        AddressDigest(Sha256::new().chain_update(self.0).chain_update(address.to_bytes()).finalize().into())
    }
}

impl std::fmt::Debug for AddressKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressKeeper")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_address_and_one_secret() {
        let of = |text: &str| AddressKey::from_ip(text.parse().unwrap());
        let (keeper, other) = (AddressKeeper::new(b"one"), AddressKeeper::new(b"other"));
        let digest = keeper.digest(of("192.0.2.1"));
        assert_eq!(digest, AddressKeeper::new(b"one").digest(of("192.0.2.1")));
        assert_ne!(digest, keeper.digest(of("192.0.2.2")));
        assert_ne!(digest, other.digest(of("192.0.2.1")));
        // Whoever has one address of a network has all of them.
        assert_eq!(keeper.digest(of("2001:db8::1")), keeper.digest(of("2001:db8::2")));
    }
}
