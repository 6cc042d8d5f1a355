//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Parses `localhost` or an IP address; IPv6 addresses may have brackets.
pub(in crate::settings) fn parse(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    address.parse().map_err(|_| {
        let is_url = text.contains("://");
        if is_url { "is a URL, not an IP address" } else { "is not an IP address" }.to_owned()
    })
}

/// Parses an address with a port, or `off` for no address.
pub(in crate::settings) fn parse_socket_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    // Without brackets the last group of an IPv6 address would be taken for the port.
    if host.contains(':') && !host.starts_with('[') {
        return Err("is an IPv6 address without brackets".to_owned());
    }
    let port = port.parse().map_err(|_| "has an invalid port".to_owned())?;
    Ok(Some(SocketAddr::new(parse(host)?, port)))
}

/// Formats an address such that it can be parsed again.
pub(in crate::settings) fn format_socket_address(address: &Option<SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}
