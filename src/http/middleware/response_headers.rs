//! The headers of every response, from the application and from the HTTP library.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::settings::{HttpSettings, PublicUrl};

/// The headers of a response that does not set others.
const HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
         microphone=(), midi=(), payment=(), usb=()",
    ),
];

/// How long browsers connect with TLS only, once they have: a year.
const TLS_ONLY: &str = "max-age=31536000";

/// The headers of every response.
#[derive(Debug)]
pub(in crate::http) struct ResponseHeaders {
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ResponseHeaders {
    pub(in crate::http) fn new(settings: &HttpSettings) -> Self {
        let tls = settings.public_url.as_ref().is_some_and(PublicUrl::is_https);
        let tls = tls.then_some((STRICT_TRANSPORT_SECURITY, TLS_ONLY));
        let headers = HEADERS.into_iter().chain(tls);
        Self { headers: headers.map(|(name, value)| (name, HeaderValue::from_static(value))).collect() }
    }

    /// Adds the headers that a response does not have.
    pub(in crate::http) fn complete(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }

    /// Returns the headers as lines.
    pub(in crate::http) fn lines(&self) -> String {
        let lines = self
            .headers
            .iter()
            .filter_map(|(name, value)| value.to_str().ok().map(|value| format!("{name}: {value}\r\n")));
        lines.collect()
    }
}
