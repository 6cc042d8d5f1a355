//! `GET /ws/chat`: accepts a WebSocket handshake and starts a session actor.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_VERSION, UPGRADE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use slog::{info, o, warn};

use super::error_response::{error, error_with_status, retryable_error};
use super::{AppState, origin_check, request_id};
use crate::domain::address_limit::AddressLimit;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::limits::{AddressKey, IpLimitExceeded, client_address};
use crate::session::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::UpgradeError;

/// The header in which proxies pass on the address of a client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The `Retry-After` value while the server restarts.
const RETRY_AFTER_RESTART: Duration = Duration::from_secs(2);

pub(super) async fn chat(request: HttpRequest, payload: Payload, state: Data<AppState>) -> HttpResponse {
    let header = |name: HeaderName| request.headers().get(name).map(HeaderValue::to_str);
    let (origin, host) = (header(ORIGIN), header(HOST).and_then(Result::ok));
    let allowed = match origin {
        Some(Err(_)) => false,
        Some(Ok(origin)) => origin_check::is_allowed(&state.settings, Some(origin), host),
        None => origin_check::is_allowed(&state.settings, None, host),
    };
    if !allowed {
        let message =
            "Pages of this origin may not connect here. The owner can allow it with ALLOWED_ORIGINS.";
        return error(&request, ErrorCode::NotAuthorized, message);
    }
    if header(SEC_WEBSOCKET_VERSION).is_some_and(|version| version.ok() != Some("13")) {
        let problem = UpgradeError::Protocol("the client asks for another version".to_owned());
        return not_a_handshake(&request, &problem);
    }
    let Ok(entry) = state.session.registry.register() else {
        return retryable_error(&request, ErrorCode::ShuttingDown, RETRY_AFTER_RESTART);
    };
    let address_guard = match state.ip_limiter.admit(Timestamp::now(), address_of(&request, &state)) {
        Ok(address_guard) => address_guard,
        Err(exceeded) => return limit_exceeded(&request, exceeded),
    };
    let request_id = request_id::get(&request);
    let log = state.log.new(o!("request_id" => request_id.to_string()));
    state.session.metrics.session.connections.inc();
    info!(log, "connected");
    let session = Arc::clone(&state.session);
    let message_timeout = session.timeouts.message_timeout;
    let upgraded = socket::upgrade(&request, payload, &state.watchdog, message_timeout, |socket| {
        SessionActor::new(session, entry, address_guard, request_id, log, socket)
    });
    upgraded.unwrap_or_else(|error| not_a_handshake(&request, &error))
}

/// Returns the client address that the limits apply to.
fn address_of(request: &HttpRequest, state: &AppState) -> AddressKey {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if request.headers().contains_key(FORWARDED_FOR)
        && is_local(peer)
        && !state.trusted_proxies.contains(peer)
    {
        // Only once, because a client can send the header too and must not flood the log.
        state.warned_of_untrusted_proxy.call_once(|| {
            warn!(state.log, "X-Forwarded-For from a proxy that TRUSTED_PROXIES does not list is ignored: its visitors share the limits of one address";
                "peer" => %peer);
        });
    }
    // A header line that is not text keeps its position, so that an earlier, untrusted line cannot
    // take it.
    let lines = request.headers().get_all(FORWARDED_FOR).map(|line| line.to_str().unwrap_or("?"));
    AddressKey::from_ip(client_address(peer, lines, &state.trusted_proxies))
}

/// Returns whether an address is on this machine or a private network, as a reverse proxy usually
/// is.
fn is_local(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
    }
}

fn limit_exceeded(request: &HttpRequest, exceeded: IpLimitExceeded) -> HttpResponse {
    if exceeded.limit == AddressLimit::TotalConnections {
        return retryable_error(request, ErrorCode::Overloaded, exceeded.retry_after);
    }
    let message = "Too many connections are open from your address. Please close some of them.";
    let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimitExceeded);
    error_with_status(request, status, code, message, Some(exceeded.retry_after))
}

fn not_a_handshake(request: &HttpRequest, error: &UpgradeError) -> HttpResponse {
    let status = match error {
        UpgradeError::Key(_) => StatusCode::BAD_REQUEST,
        UpgradeError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        UpgradeError::Protocol(_) => StatusCode::UPGRADE_REQUIRED,
    };
    let message = format!("This address takes WebSocket handshakes, version 13: {error}.");
    let mut response = error_with_status(request, status, ErrorCode::ValidationError, &message, None);
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
