//! How many connections each address has open.

use std::collections::HashMap;

use super::AddressKey;

/// Exact counts of open connections. Each entry has at least one, so the cap on all of them bounds the entries too.
#[derive(Debug)]
pub(super) struct Connections {
    per_address: u32,
    in_all: u32,
    open: HashMap<AddressKey, u32>,
    total: u32,
}

/// Which cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// This address's.
    Address,
    /// The whole service's.
    Service,
}

impl Connections {
    /// At most `per_address` for one address and `in_all` together.
    pub(super) fn new(per_address: u32, in_all: u32) -> Self {
        Self { per_address, in_all, open: HashMap::new(), total: 0 }
    }

    /// Counts one more, unless a cap is reached.
    pub(super) fn connected(&mut self, key: AddressKey) -> Result<(), Full> {
        let open = self.of(key);
        if open >= self.per_address {
            return Err(Full::Address);
        }
        if self.total >= self.in_all {
            return Err(Full::Service);
        }
        self.open.insert(key, open + 1);
        self.total += 1;
        Ok(())
    }

    /// Counts one less; what was never counted is not.
    pub(super) fn disconnected(&mut self, key: AddressKey) {
        let Some(open) = self.open.get_mut(&key) else { return };
        *open -= 1;
        self.total -= 1;
        if *open == 0 {
            self.open.remove(&key);
        }
    }

    /// Connections this address has open.
    pub(super) fn of(&self, key: AddressKey) -> u32 {
        self.open.get(&key).copied().unwrap_or(0)
    }

    /// Connections open in all.
    pub(super) fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> AddressKey {
        AddressKey::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn disconnecting_what_was_not_counted_changes_nothing() {
        let mut connections = Connections::new(1, 1);
        connections.disconnected(key(1));
        assert_eq!(connections.connected(key(1)), Ok(()));
        assert_eq!(connections.connected(key(1)), Err(Full::Address));
        assert_eq!(connections.connected(key(2)), Err(Full::Service));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_connections_that_are_open(
            steps in prop::collection::vec((0_u32..6, any::<bool>()), 1..300),
        ) {
            let mut connections = Connections::new(3, 10);
            let mut open = Vec::new();
            for (who, connect) in steps {
                let mine = open.iter().filter(|other| **other == who).count();
                if connect {
                    let expected = match mine {
                        3 => Err(Full::Address),
                        _ if open.len() == 10 => Err(Full::Service),
                        _ => {
                            open.push(who);
                            Ok(())
                        }
                    };
                    prop_assert_eq!(connections.connected(key(who)), expected);
                } else {
                    connections.disconnected(key(who));
                    open.iter().position(|other| *other == who).map(|place| open.swap_remove(place));
                }
                let now = open.iter().filter(|other| **other == who).count();
                prop_assert_eq!(usize::try_from(connections.of(key(who))).unwrap(), now);
                prop_assert_eq!(usize::try_from(connections.total()).unwrap(), open.len());
                prop_assert!(connections.open.len() <= open.len());
            }
        }
    }
}
