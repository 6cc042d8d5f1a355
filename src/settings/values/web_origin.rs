//! Web origins, as browsers send them.

use url::Url;

/// Reads one exact origin and normalises it; the error says what is wrong.
pub(in crate::settings) fn parse(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(
            "has a wildcard: it would let any page that matches chat, and spend, in your name".to_owned()
        );
    }
    if text.eq_ignore_ascii_case("null") {
        return Err("is the origin of any sandboxed page, so it tells nobody apart".to_owned());
    }
    let has_scheme = text.contains("://");
    let url = match Url::parse(text) {
        Ok(url) if has_scheme => url,
        _ if !has_scheme => return Err("has no scheme such as https:// before it".to_owned()),
        _ => return Err("is not a URL".to_owned()),
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err("has no host".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in it, which no origin has".to_owned());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("has more after the host and port, which no origin has".to_owned());
    }
    // `Url` has lower-cased the scheme and the host of a web URL, encoded an international host as
    // browsers do, and dropped a port that is the scheme's default.
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    Ok(format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase()))
}
