//! Addresses of web pages.

use url::Url;

/// Parses an `http` or `https` URL and normalizes it.
pub(in crate::settings) fn parse(text: &str) -> Result<String, String> {
    parse_url(text).map(String::from)
}

/// Parses an `http` or `https` URL without a user.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user, which visitors would see".to_owned());
    }
    Ok(url)
}
