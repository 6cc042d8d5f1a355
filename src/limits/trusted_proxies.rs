//! The proxies whose word about the client's address is taken.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// How many bits of an IPv6 address stand before an IPv4 address mapped into it (`::ffff:0:0/96`).
const MAPPED_PREFIX: u8 = 96;

/// Networks whose members may say, in `X-Forwarded-For`, on whose behalf they connect.
///
/// The default trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// Entries of `TRUSTED_PROXIES` that cannot be used; `Display` reads well after the setting's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidProxies {
    /// Entries that are neither an address nor a network, as given, without surrounding space.
    pub unreadable: Vec<String>,
    /// Networks that hold every address there is. To trust them is to let anybody name any address.
    pub everyone: Vec<String>,
}

impl TrustedProxies {
    /// Reads addresses (`10.0.0.1`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`). Bits after the prefix are ignored,
    /// IPv4-mapped IPv6 means IPv4, empty entries mean nothing.
    ///
    /// # Errors
    /// [`InvalidProxies`] with every entry at fault.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidProxies> {
        let mut networks = Vec::new();
        let mut invalid = InvalidProxies { unreadable: Vec::new(), everyone: Vec::new() };
        for entry in entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()) {
            match network(entry) {
                None => invalid.unreadable.push(entry.to_owned()),
                Some(network) if network.prefix_len() == 0 => invalid.everyone.push(entry.to_owned()),
                Some(network) => networks.push(network),
            }
        }
        if invalid.unreadable.is_empty() && invalid.everyone.is_empty() {
            Ok(Self { networks: IpNet::aggregate(&networks) })
        } else {
            Err(invalid)
        }
    }

    /// Whether `address` is one of these proxies. IPv4-mapped IPv6 is compared as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// The network `text` names, truncated, and IPv4 where it is IPv4 in IPv6's clothes.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let unmapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_PREFIX)),
        IpNet::V4(_) => None,
    };
    let network = match unmapped {
        Some((address, prefix)) => IpNet::V4(Ipv4Net::new(address, prefix).ok()?),
        None => network,
    };
    Some(network.trunc())
}

impl fmt::Display for InvalidProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences = [
            (&self.unreadable, "has what is neither an address nor a network"),
            (&self.everyone, "would let anybody name any address"),
        ];
        let mut separator = "";
        for (entries, sentence) in sentences.into_iter().filter(|(entries, _)| !entries.is_empty()) {
            write!(f, "{separator}{sentence}: {}", entries.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(entries: &[&str], address: &str) -> bool {
        TrustedProxies::parse(entries.iter().copied()).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_understood() {
        assert!(contains(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!contains(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(contains(&[" 192.0.2.7 ", ""], "192.0.2.7"));
        assert!(!contains(&["192.0.2.7"], "192.0.2.8"));
        assert!(contains(&["fd00::/8"], "fd12::1"));
        assert!(contains(&["::1"], "::1"));
        assert!(contains(&["10.1.2.3/8"], "10.0.0.1"), "bits after the prefix are ignored");
        assert!(!contains(&[], "127.0.0.1"), "nobody is trusted unless named");
    }

    #[test]
    fn ipv4_mapped_in_ipv6_is_ipv4_on_both_sides() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.0.0.1"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.0.0.1"));
        assert!(!contains(&["::ffff:10.0.0.0/104"], "11.0.0.1"));
        assert!(contains(&["::ffff:10.0.0.1"], "10.0.0.1"));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let refused = TrustedProxies::parse([
            "10.0.0.0/33",
            "::1",
            "proxy.local",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
        ])
        .unwrap_err();
        assert_eq!(refused.unreadable, ["10.0.0.0/33", "proxy.local"]);
        assert_eq!(refused.everyone, ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"]);
        assert_eq!(
            refused.to_string(),
            "has what is neither an address nor a network: 10.0.0.0/33, proxy.local; \
             would let anybody name any address: 0.0.0.0/0, ::/0, ::ffff:0.0.0.0/96"
        );
    }
}
