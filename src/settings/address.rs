//! The address to listen on.

use std::net::{IpAddr, Ipv4Addr};

/// Reads an IP address (an IPv6 one also in brackets) or `localhost`; the error says what is wrong.
pub(super) fn parse(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| {
        let is_url = text.contains("://");
        let problem = if is_url { "is a URL, not an IP address" } else { "is not an IP address" };
        problem.to_owned()
    })
}
