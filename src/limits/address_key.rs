//! The part of an address that one visitor owns.

use std::net::{IpAddr, Ipv6Addr};

/// Marks an IPv4 address among keys: the first byte of IPv6 multicast, from which nobody connects.
const IPV4_MARK: u64 = 0xFF00_0000_0000_0000;
const IPV4_MARK_MASK: u64 = 0xFFFF_FFFF_0000_0000;

/// The bits of a /64 that tell the networks of one /48 apart.
const SUBNET_MASK: u64 = 0xFFFF;

/// What limits count by: an IPv4 address as it is, an IPv6 address cut to its /64, in 8 bytes.
///
/// A /64 is the smallest network IPv6 hands out, and who has one can connect from any of its 2^64 addresses: by whole
/// addresses there would be no limit. What is IPv4 underneath (`::ffff:0:0/96`, and the translators' `64:ff9b::/96`,
/// which would put all of IPv4 into one /64) counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(u64);

impl AddressKey {
    /// The key of a client's address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4_MARK | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => match translated(v6) {
                Some(v4) => Self(IPV4_MARK | v4),
                None => Self(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
            },
        }
    }

    /// The same in 8 bytes, for a digest.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Whether it is one of the addresses somebody gets 65,536 of for the asking.
    pub(super) fn is_ipv6(self) -> bool {
        self.0 & IPV4_MARK_MASK != IPV4_MARK
    }

    /// The key with which it shares a count when there are too many to tell apart: an IPv6 address's /48, the most one
    /// customer is usually given; an IPv4 address is its own.
    pub(super) fn neighbourhood(self) -> Self {
        if self.is_ipv6() { Self(self.0 & !SUBNET_MASK) } else { self }
    }
}

/// The bits of the IPv4 address that a translator (NAT64, SIIT; RFC 6052) wrote into `64:ff9b::/96`.
fn translated(address: Ipv6Addr) -> Option<u64> {
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
        AddressKey::of(text.parse().unwrap())
    }

    #[test]
    fn a_slash_64_is_one_visitor_and_an_ipv4_address_is_another_each() {
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("192.0.2.1"), key("64:ff9b::192.0.2.1"));
        assert_ne!(key("::1"), key("0.0.0.1"));
    }

    #[test]
    fn a_slash_48_is_one_neighbourhood() {
        assert_eq!(key("2001:db8:0:1::").neighbourhood(), key("2001:db8:0:ffff::").neighbourhood());
        assert_ne!(key("2001:db8:0:1::").neighbourhood(), key("2001:db8:1:1::").neighbourhood());
        assert_ne!(key("192.0.2.1").neighbourhood(), key("192.0.2.2").neighbourhood());
    }

    proptest! {
        #[test]
        fn keys_are_equal_only_where_a_visitor_is(one in any::<u128>(), two in any::<u128>(), v4 in any::<u32>()) {
            let unicast = |bits: u128| Ipv6Addr::from_bits(bits & !(1 << 127));
            let (one, two) = (unicast(one), unicast(two));
            let same = one.to_bits() >> 64 == two.to_bits() >> 64;
            prop_assert_eq!(AddressKey::of(one.into()) == AddressKey::of(two.into()), same);
            let v4 = AddressKey::of(IpAddr::V4(v4.into()));
            prop_assert_ne!(AddressKey::of(one.into()), v4);
            prop_assert!(!v4.is_ipv6() && AddressKey::of(one.into()).is_ipv6());
        }
    }
}
