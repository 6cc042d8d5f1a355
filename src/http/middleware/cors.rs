//! Cross-origin resource sharing: lets pages of allowed origins read responses. Never with
//! credentials, because this server has no cookies.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

use super::origin_of;

/// The request headers that pages may set.
const ALLOWED_HEADERS: &str = "Content-Type, Last-Event-ID, X-Request-ID";

/// The response headers that pages may read, besides those that are always readable.
const EXPOSED_HEADERS: &str = "Retry-After, X-Request-ID";

/// How long browsers remember the answer to a preflight, in seconds. Chromium's maximum.
const MAX_AGE: &str = "7200";

/// What a request says about the page that sent it.
pub(super) struct CrossOriginRequest {
    /// The origin, if it is allowed.
    allowed_origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl CrossOriginRequest {
    pub(super) fn of(request: &ServiceRequest, is_allowed: impl FnOnce(&str) -> bool) -> Self {
        let origin = origin_of(request);
        let is_allowed = origin.and_then(|origin| origin.to_str().ok()).is_some_and(is_allowed);
        Self {
            allowed_origin: origin.filter(|_| is_allowed).cloned(),
            is_preflight: request.method() == Method::OPTIONS
                && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// Adds the headers that let the page read the response.
    pub(super) fn complete<B: MessageBody + 'static>(
        self,
        mut response: ServiceResponse<B>,
    ) -> ServiceResponse<B> {
        let methods = response.headers().get(ALLOW).cloned();
        let headers = response.headers_mut();
        // Also without an origin, because a cache may keep this response for pages of others.
        add_to_vary(headers, &[ORIGIN]);
        if self.is_preflight {
            add_to_vary(headers, &[ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS]);
        }
        let Some(origin) = self.allowed_origin else { return response };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        if let Some(methods) = methods.filter(|_| self.is_preflight) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
        response
    }
}

/// Adds names to the one `Vary` header.
fn add_to_vary(headers: &mut HeaderMap, names: &[HeaderName]) {
    let present = headers.get(VARY).and_then(|vary| vary.to_str().ok()).map(str::to_owned);
    let names = names.iter().map(|name| name.as_str().to_owned());
    let vary = present.into_iter().chain(names).collect::<Vec<_>>().join(", ");
    if let Ok(vary) = HeaderValue::from_str(&vary) {
        headers.insert(VARY, vary);
    }
}
