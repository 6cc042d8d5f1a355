//! The URL under which visitors reach this server.

use std::fmt;

use url::Url;

use super::web_origin;

/// An `http` or `https` URL without user, query or fragment, whose path ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    origin: String,
}

impl PublicUrl {
    pub(in crate::settings) fn parse(text: &str) -> Result<Self, String> {
        let mut url = super::web_url::parse_url(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or fragment, so no path can be appended".to_owned());
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        if path.contains("//") {
            return Err("has an empty segment in its path".to_owned());
        }
        url.set_path(&path);
        let origin = web_origin::of(&url).ok_or("has no host")?;
        Ok(Self { url, origin })
    }

    /// Returns the URL; it ends with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Returns the origin as browsers send it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the host in lower case, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Returns the path without the slash at its end; empty for the root.
    #[must_use]
    pub fn path_prefix(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// Returns whether visitors connect with TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
