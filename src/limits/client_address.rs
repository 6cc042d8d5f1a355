//! Whose request it is: the address of the client behind the proxies that are trusted.

use std::net::{IpAddr, SocketAddr};

use super::TrustedProxies;

/// How many entries of `X-Forwarded-For` are looked at. A real chain (edge, balancer, ingress, sidecar) is a handful;
/// more is a chain that trusts itself in circles.
const MAX_HOPS: usize = 16;

/// The client's address, IPv4-mapped IPv6 as IPv4.
///
/// `forwarded_for` yields the header's lines in order. Anybody can write the header, and each proxy adds at its right
/// end the address that connected to it; so it is read from the right, and an entry is believed only while everything
/// to its right, and the peer itself, is a trusted proxy. The first address that is not is the client. At an entry that
/// is no address of a client (garbage, `unknown`, multicast, `0.0.0.0`), at the header's end and after 16 entries, the
/// answer is the last one that was believed.
///
/// A line that is not text must be passed as something that is no address, `"?"` for example: to leave it out would
/// move what is left of it one place closer to being believed.
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
    // Bounded by how many header lines the HTTP server accepts.
    let lines: Vec<&str> = forwarded_for.into_iter().collect();
    let hops = lines.into_iter().rev().flat_map(|line| line.rsplit(','));
    // An empty entry is allowed in a list and says nothing, but it is looked at.
    for hop in hops.take(MAX_HOPS).map(str::trim).filter(|hop| !hop.is_empty()) {
        let Some(address) = address(hop) else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// The address in `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]` and `[::1]:567`, if one could connect from it.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address: IpAddr =
        bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))?;
    let address = address.to_canonical();
    let may_connect = !address.is_unspecified() && !address.is_multicast();
    may_connect.then_some(address)
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
    fn a_stranger_is_never_believed() {
        assert_eq!(client("203.0.113.9", &["10.0.0.1", "198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("::ffff:203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1 ,10.0.0.2,\tfd00::5"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 10.0.0.3, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "2.2.2.2", "198.51.100.1, 10.0.0.2", "10.0.0.3"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "10.0.0.2", "", " , "]), "198.51.100.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        for (given, meant) in [
            ("198.51.100.1:567", "198.51.100.1"),
            ("[2001:db8::7]:80", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:9", "198.51.100.1"),
        ] {
            assert_eq!(client("::ffff:10.0.0.1", &[given]), meant, "{given}");
        }
    }

    #[test]
    fn what_is_no_clients_address_ends_the_walk_at_the_last_believed_hop() {
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
        let nobodys = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "[::]:80"];
        for entry in garbage.into_iter().chain(nobodys) {
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
    fn a_chain_in_circles_is_left_after_sixteen_entries() {
        let circle = |entries: usize| format!("198.51.100.1{}", ",10.0.0.2".repeat(entries));
        assert_eq!(client("10.0.0.1", &[&circle(15)]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[&circle(16)]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[&format!("198.51.100.1{}", ",".repeat(1_000_000))]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn nothing_a_client_writes_changes_who_it_is(
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
