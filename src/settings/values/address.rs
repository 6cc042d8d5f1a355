//! The addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads an IP address (an IPv6 one also in brackets) or `localhost`; the error says what is wrong.
pub(in crate::settings) fn parse(text: &str) -> Result<IpAddr, String> {
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

/// Reads an address with a port, or `off` for none; the error says what is wrong.
pub(in crate::settings) fn parse_operator(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    // Otherwise the end of an IPv6 address would be its port.
    if host.contains(':') && !host.starts_with('[') {
        return Err("is an IPv6 address without brackets".to_owned());
    }
    let port = port.parse().map_err(|_| "has a port that is none".to_owned())?;
    Ok(Some(SocketAddr::new(parse(host)?, port)))
}
