//! Counts the open connections of each address.

use std::collections::HashMap;

use super::AddressKey;

/// Exact counts of open connections. Each entry stands for at least one connection, so the total
/// limit bounds the number of entries too.
#[derive(Debug)]
pub(super) struct ConnectionCounter {
    max_per_address: u32,
    max_total: u32,
    open: HashMap<AddressKey, u32>,
    total: u32,
}

/// The connection limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionLimit {
    /// The limit of the address.
    Address,
    /// The limit of the server.
    Total,
}

impl ConnectionCounter {
    pub(super) fn new(max_per_address: u32, max_total: u32) -> Self {
        Self { max_per_address, max_total, open: HashMap::new(), total: 0 }
    }

    /// Counts one more connection.
    ///
    /// # Errors
    /// The limit that is reached. The connection is not counted then.
    pub(super) fn connect(&mut self, key: AddressKey) -> Result<(), ConnectionLimit> {
        let open = self.open.get(&key).copied().unwrap_or(0);
        if open >= self.max_per_address {
            return Err(ConnectionLimit::Address);
        }
        if self.total >= self.max_total {
            return Err(ConnectionLimit::Total);
        }
        self.open.insert(key, open + 1);
        self.total += 1;
        Ok(())
    }

    /// Counts one connection less. Does nothing if the address has no connection.
    pub(super) fn disconnect(&mut self, key: AddressKey) {
        let Some(open) = self.open.get_mut(&key) else { return };
        *open -= 1;
        self.total -= 1;
        if *open == 0 {
            self.open.remove(&key);
        }
    }

    /// Returns the open connections of all addresses together.
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
        AddressKey::from_ip(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn disconnect_without_a_connection_changes_nothing() {
        let mut connections = ConnectionCounter::new(1, 1);
        connections.disconnect(key(1));
        assert_eq!(connections.connect(key(1)), Ok(()));
        assert_eq!(connections.connect(key(1)), Err(ConnectionLimit::Address));
        assert_eq!(connections.connect(key(2)), Err(ConnectionLimit::Total));
    }

    proptest! {
        #[test]
        fn counts_equal_the_open_connections(
            steps in prop::collection::vec((0_u32..6, any::<bool>()), 1..300),
        ) {
            let mut connections = ConnectionCounter::new(3, 10);
            let mut open = Vec::new();
            for (who, connect) in steps {
                let count = open.iter().filter(|other| **other == who).count();
                if connect {
                    let expected = match count {
                        3 => Err(ConnectionLimit::Address),
                        _ if open.len() == 10 => Err(ConnectionLimit::Total),
                        _ => {
                            open.push(who);
                            Ok(())
                        }
                    };
                    prop_assert_eq!(connections.connect(key(who)), expected);
                } else {
                    connections.disconnect(key(who));
                    open.iter().position(|other| *other == who).map(|place| open.swap_remove(place));
                }
                let now = open.iter().filter(|other| **other == who).count();
                prop_assert_eq!(usize::try_from(connections.open.get(&key(who)).copied().unwrap_or(0)).unwrap(), now);
                prop_assert_eq!(usize::try_from(connections.total()).unwrap(), open.len());
                prop_assert!(connections.open.len() <= open.len());
            }
        }
    }
}
