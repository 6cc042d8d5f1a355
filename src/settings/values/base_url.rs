//! The base URL of the model server.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The path of the endpoint, which the client appends to the base URL.
const ENDPOINT: &str = "/chat/completions";

/// The base URL of an OpenAI-compatible server: `http` or `https`, without user, query or fragment.
/// `Display` omits a slash at the end.
#[derive(Debug, Clone)]
pub struct BaseUrl(Url);

impl BaseUrl {
    pub(in crate::settings) fn parse(text: &str) -> Result<Self, String> {
        let url = Self(Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?);
        if !matches!(url.0.scheme(), "http" | "https") {
            return Err("is neither http:// nor https://".to_owned());
        }
        if !url.0.username().is_empty() || url.0.password().is_some() {
            return Err("contains a user; the key belongs into OPENROUTER_API_KEY".to_owned());
        }
        if url.0.query().is_some() || url.0.fragment().is_some() {
            return Err("has a query or fragment, so no path can be appended".to_owned());
        }
        if url.to_string().ends_with(ENDPOINT) {
            return Err(format!("ends in {ENDPOINT}, which is appended automatically"));
        }
        Ok(url)
    }

    /// Returns true for OpenRouter, which requires a key and supports more than the common API.
    #[must_use]
    pub fn is_openrouter(&self) -> bool {
        let domain = self.0.domain();
        domain.is_some_and(|domain| domain == "openrouter.ai" || domain.ends_with(".openrouter.ai"))
    }

    /// Returns whether the host is this machine, which no proxy can reach.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let is_own = |address: IpAddr| address.is_loopback() || address.is_unspecified();
        match self.0.host() {
            Some(Host::Ipv4(address)) => is_own(address.into()),
            Some(Host::Ipv6(address)) => is_own(address.to_canonical()),
            Some(Host::Domain(domain)) => {
                let domain = domain.trim_end_matches('.');
                domain == "localhost" || domain.ends_with(".localhost")
            }
            None => false,
        }
    }

    /// Returns a warning if the URL is probably a mistake; it completes a sentence that begins with
    /// the setting's name.
    pub(in crate::settings) fn warning(&self) -> Option<String> {
        let is_local = match self.0.host()? {
            Host::Ipv4(address) => is_private(IpAddr::V4(address)),
            Host::Ipv6(address) => is_private(address.to_canonical()),
            // The local network or the container engine resolves names without a dot.
            Host::Domain(domain) => {
                let local_suffixes = [".localhost", ".local", ".internal", ".lan", ".home.arpa"];
                !domain.contains('.') || local_suffixes.iter().any(|suffix| domain.ends_with(suffix))
            }
        };
        (self.0.scheme() == "http" && !is_local).then(|| {
            "is plain http to a public host: the key and all questions are sent unencrypted".to_owned()
        })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
