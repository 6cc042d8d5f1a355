//! The proxies whose `X-Forwarded-For` header is trusted.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// The length of the prefix of IPv4-mapped IPv6 addresses (`::ffff:0:0/96`).
const MAPPED_PREFIX: u8 = 96;

/// Networks of proxies whose `X-Forwarded-For` header is trusted. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// Invalid entries of `TRUSTED_PROXIES`. `Display` continues a sentence that begins with the name
/// of the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidProxies {
    /// Entries that are neither an address nor a network, trimmed.
    pub unreadable: Vec<String>,
    /// Networks that contain every address. To trust them would let any client claim any address.
    pub everyone: Vec<String>,
}

impl TrustedProxies {
    /// Parses addresses (`10.0.0.1`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`). Bits after the
    /// prefix and empty entries are ignored. IPv4-mapped IPv6 counts as IPv4.
    ///
    /// # Errors
    /// [`InvalidProxies`] with every invalid entry.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidProxies> {
        let mut networks = Vec::new();
        let mut invalid = InvalidProxies { unreadable: Vec::new(), everyone: Vec::new() };
        for entry in entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()) {
            match parse_network(entry) {
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

    /// Returns whether `address` is a trusted proxy. IPv4-mapped IPv6 is compared as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address or a network and truncates it to its prefix. IPv4-mapped networks are returned
/// as IPv4.
fn parse_network(text: &str) -> Option<IpNet> {
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
            (&self.unreadable, "contains entries that are neither an address nor a network"),
            (
                &self.everyone,
                "must not contain a network of all addresses, because any client could \
                claim any address then",
            ),
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
    fn addresses_and_networks_of_both_families_are_parsed() {
        assert!(contains(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!contains(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(contains(&[" 192.0.2.7 ", ""], "192.0.2.7"));
        assert!(!contains(&["192.0.2.7"], "192.0.2.8"));
        assert!(contains(&["fd00::/8"], "fd12::1"));
        assert!(contains(&["::1"], "::1"));
        assert!(contains(&["10.1.2.3/8"], "10.0.0.1"), "bits after the prefix are ignored");
        assert!(!contains(&[], "127.0.0.1"), "by default no proxy is trusted");
    }

    #[test]
    fn ipv4_mapped_addresses_and_networks_are_compared_as_ipv4() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.0.0.1"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.0.0.1"));
        assert!(!contains(&["::ffff:10.0.0.0/104"], "11.0.0.1"));
        assert!(contains(&["::ffff:10.0.0.1"], "10.0.0.1"));
    }

    #[test]
    fn all_invalid_entries_are_reported_at_once() {
        let invalid = TrustedProxies::parse([
            "10.0.0.0/33",
            "::1",
            "proxy.local",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
        ])
        .unwrap_err();
        assert_eq!(invalid.unreadable, ["10.0.0.0/33", "proxy.local"]);
        assert_eq!(invalid.everyone, ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"]);
        assert_eq!(
            invalid.to_string(),
            "contains entries that are neither an address nor a network: 10.0.0.0/33, proxy.local; \
             must not contain a network of all addresses, because any client could claim any address then: 0.0.0.0/0, ::/0, ::ffff:0.0.0.0/96"
        );
    }
}
