//! Host names as they appear in the `Host` header.

use url::Host;

/// Parses a host name or an IP address, without a port, and normalizes it.
pub(in crate::settings) fn parse(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("has a wildcard, which would let an attacker choose a name".to_owned());
    }
    if text.contains('/') {
        return Err("is a URL or a path, not a host name".to_owned());
    }
    let is_bare_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    if !is_bare_ipv6 && text.contains(':') && !text.ends_with(']') {
        return Err("has a port, which is not part of a host name".to_owned());
    }
    let bracketed = if is_bare_ipv6 { format!("[{text}]") } else { text.to_owned() };
    let host = Host::parse(&bracketed).map_err(|error| format!("is not a host name: {error}"))?;
    Ok(host.to_string().trim_end_matches('.').to_owned())
}
