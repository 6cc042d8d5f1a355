//! The key by which client addresses are counted.

use std::net::{IpAddr, Ipv6Addr};

/// Marks an IPv4 address among keys. The first byte is that of IPv6 multicast, which is never a
/// source address.
const IPV4_MARK: u64 = 0xFF00_0000_0000_0000;
const IPV4_MARK_MASK: u64 = 0xFFFF_FFFF_0000_0000;

/// The bits that distinguish the /64 networks of one /48.
const SUBNET_MASK: u64 = 0xFFFF;

/// How many times the limits of a client address the /48 network of an IPv6 address may use. A
/// customer is commonly assigned a /48, whose 65,536 networks would otherwise count as so many
/// clients; a household or an office has a few visitors at a time.
pub const NETWORK_ALLOWANCE: u32 = 4;

/// The part of a client address that limits count by: a whole IPv4 address, or the /64 network of
/// an IPv6 address. Takes 8 bytes.
///
/// A /64 is the smallest network that IPv6 assigns, and its owner can connect from any of its 2^64
/// addresses, so a limit per whole address would have no effect. Addresses that embed an IPv4
/// address (`::ffff:0:0/96`, and `64:ff9b::/96` of NAT64, which would put all of IPv4 into one /64)
/// count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(u64);

impl AddressKey {
    /// Returns the key of a client address.
    #[must_use]
    pub fn from_ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4_MARK | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => match nat64_ipv4_bits(v6) {
                Some(v4) => Self(IPV4_MARK | v4),
                None => Self(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
            },
        }
    }

    /// Returns the key as bytes, for a digest.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Returns whether the key is an IPv6 network. A customer is commonly assigned 65,536 such
    /// networks.
    pub(super) fn is_ipv6(self) -> bool {
        self.0 & IPV4_MARK_MASK != IPV4_MARK
    }

    /// Returns the key of the /48 network of an IPv6 address; `None` for IPv4. It equals the key of
    /// the first /64 in the network, so the two must be counted separately.
    #[must_use]
    pub fn ipv6_network(self) -> Option<Self> {
        self.is_ipv6().then(|| self.site())
    }

    /// Returns the key by which addresses share counters when there are too many to count one by
    /// one: the /48 of an IPv6 address, which is the largest network that one customer is commonly
    /// assigned, or the IPv4 address itself.
    pub(super) fn site(self) -> Self {
        if self.is_ipv6() { Self(self.0 & !SUBNET_MASK) } else { self }
    }
}

/// Returns the IPv4 address that a translator (NAT64, SIIT; RFC 6052) embedded in `64:ff9b::/96`.
fn nat64_ipv4_bits(address: Ipv6Addr) -> Option<u64> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(u64::from(high) << 16 | u64::from(low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::from_ip(text.parse().unwrap())
    }

    #[test]
    fn ipv6_counts_by_slash_64_and_ipv4_by_address() {
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("192.0.2.1"), key("64:ff9b::192.0.2.1"));
        assert_ne!(key("::1"), key("0.0.0.1"));
    }

    #[test]
    fn addresses_of_a_slash_48_are_one_site() {
        assert_eq!(key("2001:db8:0:1::").site(), key("2001:db8:0:ffff::").site());
        assert_ne!(key("2001:db8:0:1::").site(), key("2001:db8:1:1::").site());
        assert_ne!(key("192.0.2.1").site(), key("192.0.2.2").site());
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_for_the_same_network(first in any::<u128>(), second in any::<u128>(), v4 in any::<u32>()) {
            let unicast = |bits: u128| Ipv6Addr::from_bits(bits & !(1 << 127));
            let (first, second) = (unicast(first), unicast(second));
            let same = first.to_bits() >> 64 == second.to_bits() >> 64;
            prop_assert_eq!(AddressKey::from_ip(first.into()) == AddressKey::from_ip(second.into()), same);
            let v4 = AddressKey::from_ip(IpAddr::V4(v4.into()));
            prop_assert_ne!(AddressKey::from_ip(first.into()), v4);
            prop_assert!(!v4.is_ipv6() && AddressKey::from_ip(first.into()).is_ipv6());
        }
    }
}
