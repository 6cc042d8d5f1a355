//! Web origins as browsers send them.

use url::Url;

/// Parses an exact origin and normalizes it.
pub(in crate::settings) fn parse(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("has a wildcard, which would let every matching page chat at your expense".to_owned());
    }
    if text.eq_ignore_ascii_case("null") {
        return Err("is the origin of every sandboxed page and identifies no site".to_owned());
    }
    let has_scheme = text.contains("://");
    let url = match Url::parse(text) {
        Ok(url) if has_scheme => url,
        _ if !has_scheme => return Err("has no scheme such as https://".to_owned()),
        _ => return Err("is not a URL".to_owned()),
    };
    let Some(origin) = of(&url) else {
        return Err("has no host".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user, which is not part of an origin".to_owned());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("has more after the host and port, which is not part of an origin".to_owned());
    }
    Ok(origin)
}

/// Returns the origin of a URL; `None` if the URL has no host.
pub(super) fn of(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    // For web URLs, `Url` has converted the scheme and host to lower case, encoded an international
    // host as browsers do, and removed the default port of the scheme.
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase()))
}
