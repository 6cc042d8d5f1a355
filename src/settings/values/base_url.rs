//! Where the language model is reached, and the names of models there.

use std::net::IpAddr;

use url::{Host, Url};

/// What clients append themselves.
const ENDPOINT: &str = "/chat/completions";

/// Reads the base URL; the error says what is wrong.
pub(in crate::settings) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in it; a key goes into OPENROUTER_API_KEY".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment, after which no path can be added".to_owned());
    }
    if written(&url).ends_with(ENDPOINT) {
        return Err(format!("ends in {ENDPOINT}, which is added to it"));
    }
    Ok(url)
}

/// The URL without a slash at its end.
pub(in crate::settings) fn written(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Whether this is OpenRouter, which answers nobody without a key and takes more than the common API.
pub(in crate::settings) fn is_openrouter(url: &Url) -> bool {
    url.domain().is_some_and(|domain| domain == "openrouter.ai" || domain.ends_with(".openrouter.ai"))
}

/// What is probably not meant about the URL, to be read after the setting's name.
pub(in crate::settings) fn warning(url: &Url) -> Option<String> {
    let is_near = match url.host()? {
        Host::Ipv4(address) => is_near(IpAddr::V4(address)),
        Host::Ipv6(address) => is_near(address.to_canonical()),
        // A name without a dot is found by the local network's or the container engine's own names.
        Host::Domain(domain) => {
            !domain.contains('.')
                || [".localhost", ".local", ".internal", ".lan", ".home.arpa"]
                    .iter()
                    .any(|ending| domain.ends_with(ending))
        }
    };
    (url.scheme() == "http" && !is_near).then(|| {
        "is plain http to a public host: the key and every question can be read on the way".to_owned()
    })
}

fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Reads a model's name; the error says what is wrong.
pub(in crate::settings) fn model(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has white space in it".to_owned());
    }
    if text.starts_with("sk-") {
        return Err("looks like an API key, which goes into OPENROUTER_API_KEY".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the URL of the owner's site; the error says what is wrong.
pub(in crate::settings) fn site(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in it, which would be sent along".to_owned());
    }
    Ok(written(&url))
}

/// Reads the name of the owner's site; the error says what is wrong.
pub(in crate::settings) fn title(text: &str) -> Result<String, String> {
    if text.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
        return Err("has characters that a header cannot carry".to_owned());
    }
    Ok(text.to_owned())
}
