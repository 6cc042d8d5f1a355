//! The address of the client behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use super::TrustedProxies;

/// The entries of `X-Forwarded-For` that are evaluated. A real chain (edge, load balancer, ingress,
/// sidecar) has a handful; a longer one is a loop of proxies that trust each other.
const MAX_HOPS: usize = 16;

/// Returns the address of the client. IPv4-mapped IPv6 addresses are returned as IPv4.
///
/// `forwarded_for` yields the lines of the header in order. Any client can send the header, and
/// each proxy appends the address that connected to it. The header is therefore read from the
/// right, and an entry is trusted only while the peer and every address to its right is a trusted
/// proxy. The first address that is not a trusted proxy is the client. At an entry that is not a
/// client address (garbage, `unknown`, multicast, `0.0.0.0`), at the end of the header and after 16
/// entries, the last trusted address is returned.
///
/// Pass a line that is not text as something that is not an address, such as `"?"`. Without it, the
/// entries to its left would move one place closer to being trusted.
#[must_use]
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl IntoIterator<Item = &'a str>,
    trusted: &TrustedProxies,
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    // Bounded by the number of header lines that the HTTP server accepts.
    let lines: Vec<&str> = forwarded_for.into_iter().collect();
    let hops = lines.into_iter().rev().flat_map(|line| line.rsplit(','));
    // Empty entries are allowed in a list and skipped, but they count as hops.
    for hop in hops.take(MAX_HOPS).map(str::trim).filter(|hop| !hop.is_empty()) {
        let Some(address) = parse_hop(hop) else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Parses `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]` and `[::1]:567`. Returns `None` for anything
/// else and for addresses that no client can have.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address: IpAddr =
        bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))?;
    let address = address.to_canonical();
    let can_connect = !address.is_unspecified() && !address.is_multicast();
    can_connect.then_some(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
        client_address(peer.parse().unwrap(), lines.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.9", &["10.0.0.1", "198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("::ffff:203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn rightmost_address_that_is_not_a_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1 ,10.0.0.2,\tfd00::5"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 10.0.0.3, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
    }

    #[test]
    fn several_header_lines_are_one_list() {
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "2.2.2.2", "198.51.100.1, 10.0.0.2", "10.0.0.3"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "10.0.0.2", "", " , "]), "198.51.100.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_parsed() {
        for (given, expected) in [
            ("198.51.100.1:567", "198.51.100.1"),
            ("[2001:db8::7]:80", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:9", "198.51.100.1"),
        ] {
            assert_eq!(client("::ffff:10.0.0.1", &[given]), expected, "{given}");
        }
    }

    #[test]
    fn invalid_entry_ends_the_search_at_the_last_trusted_hop() {
        let garbage = [
            "unknown",
            "_hidden",
            "?",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4:99999",
            "[::1",
            "::1]",
            "for=1.2.3.4",
            "\0",
        ];
        let no_clients = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "[::]:80"];
        for entry in garbage.into_iter().chain(no_clients) {
            assert_eq!(
                client("10.0.0.1", &[&format!("198.51.100.1, {entry}, 10.0.0.2")]),
                "10.0.0.2",
                "{entry:?}"
            );
            assert_eq!(client("10.0.0.1", &["198.51.100.1", entry]), "10.0.0.1", "{entry:?}");
        }
    }

    #[test]
    fn without_an_entry_the_last_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn search_ends_after_sixteen_entries() {
        let looped = |entries: usize| format!("198.51.100.1{}", ",10.0.0.2".repeat(entries));
        assert_eq!(client("10.0.0.1", &[&looped(15)]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[&looped(16)]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[&format!("198.51.100.1{}", ",".repeat(1_000_000))]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn client_cannot_change_its_address_by_the_header(
            lines in prop::collection::vec("(\\PC|[0-9a-f.:,\\[\\] ]|10\\.0\\.0\\.1,){0,40}", 0..5),
            same_line in any::<bool>(),
            proxies in 0_usize..4,
        ) {
            let added = format!("198.51.100.1{}", ", 10.0.0.2".repeat(proxies));
            let mut lines = lines;
            match lines.pop() {
                Some(last) if same_line => lines.push(format!("{last}, {added}")),
                Some(last) => lines.extend([last, added]),
                None => lines.push(added),
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(client("10.0.0.1", &lines), "198.51.100.1");
            prop_assert_eq!(client("203.0.113.9", &lines), "203.0.113.9");
        }
    }
}
