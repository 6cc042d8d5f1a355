//! Accounts, the limits that apply to them, and the digests that stand for client addresses.

use sha2::{Digest, Sha256};

use crate::budget::{BudgetLimits, Day};
use crate::domain::budget_scope::BudgetScope;
use crate::domain::ids::SessionId;
use crate::limits::AddressKey;

/// An account. Used and reserved amounts are counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// All answers of a day.
    Day(Day),
    /// The answers to one client address on a day.
    Address(Day, AddressDigest),
    /// The answers to one IPv6 network (/48) on a day.
    Network(Day, AddressDigest),
    /// The answers of one session.
    Session(SessionId),
}

impl Account {
    /// Returns the scope, which decides the limits of the account.
    #[must_use]
    pub const fn scope(self) -> BudgetScope {
        match self {
            Self::Day(_) => BudgetScope::Day,
            Self::Address(..) => BudgetScope::Address,
            Self::Network(..) => BudgetScope::Network,
            Self::Session(_) => BudgetScope::Session,
        }
    }
}

/// The limits of every scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// The limits of a day (`DAILY_TOKEN_LIMIT`, `DAILY_COST_LIMIT`).
    pub day: BudgetLimits,
    /// The limits of a client address on a day (`DAILY_TOKEN_LIMIT_PER_ADDRESS`,
    /// `DAILY_COST_LIMIT_PER_ADDRESS`).
    pub address: BudgetLimits,
    /// The limits of an IPv6 network on a day: [`NETWORK_ALLOWANCE`] times those of an address.
    ///
    /// [`NETWORK_ALLOWANCE`]: crate::limits::NETWORK_ALLOWANCE
    pub network: BudgetLimits,
    /// The limits of a session (`SESSION_TOKEN_LIMIT`, `SESSION_COST_LIMIT`).
    pub session: BudgetLimits,
}

impl BudgetPolicy {
    /// Returns the limits of a scope.
    #[must_use]
    pub const fn limits(&self, scope: BudgetScope) -> BudgetLimits {
        match scope {
            BudgetScope::Day => self.day,
            BudgetScope::Address => self.address,
            BudgetScope::Network => self.network,
            BudgetScope::Session => self.session,
        }
    }

    /// Returns the accounts that an answer to `payer` is charged to. The account of the day always
    /// comes first. The narrow accounts, of the address, its network and the session, follow if
    /// they have a limit.
    #[must_use]
    pub fn accounts(&self, day: Day, payer: Payer) -> Vec<Account> {
        let mut accounts = vec![Account::Day(day)];
        if self.address.has_limit() {
            accounts.push(Account::Address(day, payer.address));
        }
        if let Some(network) = payer.network.filter(|_| self.network.has_limit()) {
            accounts.push(Account::Network(day, network));
        }
        if self.session.has_limit() {
            accounts.push(Account::Session(payer.session));
        }
        accounts
    }
}

/// The session and the client address that an answer is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    pub session: SessionId,
    pub address: AddressDigest,
    /// The /48 network of an IPv6 address.
    pub network: Option<AddressDigest>,
}

/// A keyed SHA-256 digest of a client address or network, stored instead of it. The key is not in the
/// store. Without a key, a digest could be reversed by trying all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressDigest(pub [u8; 32]);

/// Computes the digests of client addresses.
#[derive(Clone)]
pub struct AddressHasher([u8; 32]);

impl AddressHasher {
    /// Creates a hasher with a secret. All instances that share a store must use the same secret,
    /// also after a restart. The API key serves as the secret.
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

    /// Returns the digest of an address.
    #[must_use]
    pub fn digest(&self, address: AddressKey) -> AddressDigest {
        AddressDigest(Sha256::new().chain_update(self.0).chain_update(address.to_bytes()).finalize().into())
    }

    /// Returns the digest of the /48 network of an IPv6 address, which differs from the digests of
    /// the addresses in it; `None` for an IPv4 address.
    #[must_use]
    pub fn network_digest(&self, address: AddressKey) -> Option<AddressDigest> {
        let network = address.ipv6_network()?;
        let hash = Sha256::new().chain_update(self.0).chain_update(b"/48\0").chain_update(network.to_bytes());
        Some(AddressDigest(hash.finalize().into()))
    }
}

impl std::fmt::Debug for AddressHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_depend_on_the_address_and_the_secret() {
        let key = |text: &str| AddressKey::from_ip(text.parse().unwrap());
        let (hasher, other) = (AddressHasher::new(b"one"), AddressHasher::new(b"other"));
        let digest = hasher.digest(key("192.0.2.1"));
        assert_eq!(digest, AddressHasher::new(b"one").digest(key("192.0.2.1")));
        assert_ne!(digest, hasher.digest(key("192.0.2.2")));
        assert_ne!(digest, other.digest(key("192.0.2.1")));
        // One client usually owns a whole IPv6 network.
        assert_eq!(hasher.digest(key("2001:db8::1")), hasher.digest(key("2001:db8::2")));
    }

    #[test]
    fn networks_of_one_site_share_a_digest_of_their_own() {
        let key = |text: &str| AddressKey::from_ip(text.parse().unwrap());
        let hasher = AddressHasher::new(b"one");
        let network = hasher.network_digest(key("2001:db8:0:1::1"));
        assert!(network.is_some());
        assert_eq!(network, hasher.network_digest(key("2001:db8:0:ffff::1")));
        assert_ne!(network, hasher.network_digest(key("2001:db8:1::1")));
        assert_ne!(network, Some(hasher.digest(key("2001:db8::1"))), "the first /64 has the same bytes");
        assert_eq!(hasher.network_digest(key("192.0.2.1")), None);
    }
}
