//! The check of the `Origin` header: which pages may use this server.

use crate::settings::HttpSettings;

/// Returns whether a page of this origin may use this server: a listed origin, or the origin of this
/// server itself, by `PUBLIC_URL` or by `host`, which the middleware has checked. Browsers send
/// `Origin` with every handshake, and nothing else protects a WebSocket from the pages of other
/// sites.
pub(super) fn is_allowed(settings: &HttpSettings, origin: Option<&str>, host: Option<&str>) -> bool {
    let Some(origin) = origin else { return settings.allow_missing_origin };
    let origin = origin.to_ascii_lowercase();
    let is_public = settings.public_url.as_ref().is_some_and(|url| url.origin() == origin);
    is_public
        || settings.allowed_origins.contains(&origin)
        || host.is_some_and(|host| is_same_origin(&origin, host))
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    authority.strip_suffix(default_port).unwrap_or(authority)
        == host.strip_suffix(default_port).unwrap_or(&host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Purpose, Settings};

    fn settings(allowed: &[&str], allow_missing_origin: bool) -> HttpSettings {
        HttpSettings {
            allowed_origins: allowed.iter().map(|origin| (*origin).to_owned()).collect(),
            allow_missing_origin,
            ..Settings::load(&Purpose::Probe, None, []).unwrap().settings.http
        }
    }

    #[test]
    fn origin_must_match_exactly() {
        let settings = settings(&["https://ada.example"], true);
        for (origin, allowed) in [
            (Some("https://ada.example"), true),
            (Some("HTTPS://ADA.example"), true),
            (Some("https://ada.example.evil.test"), false),
            (Some("https://evil.test/https://ada.example"), false),
            (Some("http://ada.example"), false),
            (Some("https://chat.test"), true),
            (Some("https://chat.test:443"), true),
            (Some("https://chat.test:8443"), false),
            (Some("null"), false),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(is_allowed(&settings, origin, Some("chat.test")), allowed, "{origin:?}");
        }
    }

    #[test]
    fn clients_without_origin_can_be_rejected() {
        assert!(!is_allowed(&settings(&[], false), None, Some("chat.test")));
    }
}
