//! The admission of connections: origin, limits of the client address, and shutdown. The same for
//! both transports.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use actix_web::{HttpRequest, HttpResponse};
use slog::{Logger, info, o, warn};

use super::error_response::{Rejection, error, error_with_status, retryable_error};
use super::{AppState, origin_check, request_id};
use crate::domain::address_limit::AddressLimit;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::limits::{AddressKey, ConnectionGuard, IpLimitExceeded, client_address};
use crate::session::SessionActor;
use crate::session::connection::socket::{SocketState, Transport};
use crate::session::registry::RegistryEntry;

/// The header in which proxies pass on the address of a client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The `Retry-After` value while the server restarts.
const RETRY_AFTER_RESTART: Duration = Duration::from_secs(2);

/// A connection that may have a session.
pub(super) struct Admitted {
    entry: RegistryEntry,
    address_guard: ConnectionGuard,
    request_id: Arc<str>,
    log: Logger,
}

impl Admitted {
    /// Returns the actor of the connection.
    pub(super) fn into_session(self, state: &AppState, socket: SocketState) -> SessionActor {
        let Self { entry, address_guard, request_id, log } = self;
        SessionActor::new(Arc::clone(&state.session), entry, address_guard, request_id, log, socket)
    }
}

/// Checks that the page that sends the request may connect.
///
/// # Errors
/// The response to any other page.
pub(super) fn check_origin(request: &HttpRequest, state: &AppState) -> Result<(), Rejection> {
    let header = |name: HeaderName| request.headers().get(name).map(HeaderValue::to_str);
    let (origin, host) = (header(ORIGIN), header(HOST).and_then(Result::ok));
    let allowed = match origin {
        Some(Err(_)) => false,
        Some(Ok(origin)) => origin_check::is_allowed(&state.settings, Some(origin), host),
        None => origin_check::is_allowed(&state.settings, None, host),
    };
    if allowed {
        return Ok(());
    }
    let message = "Pages of this origin may not connect here. The owner can allow it with ALLOWED_ORIGINS.";
    Err(Box::new(error(request, ErrorCode::NotAuthorized, message)))
}

/// Counts the connection for the address of the client.
///
/// # Errors
/// The response if a limit is reached.
pub(super) fn count_address(request: &HttpRequest, state: &AppState) -> Result<ConnectionGuard, Rejection> {
    let admitted = state.ip_limiter.admit(Timestamp::now(), address_of(request, state));
    admitted.map_err(|exceeded| Box::new(limit_exceeded(request, exceeded)))
}

/// Registers the connection.
///
/// # Errors
/// The response during shutdown.
pub(super) fn register(request: &HttpRequest, state: &AppState) -> Result<RegistryEntry, Rejection> {
    let entry = state.session.registry.register();
    entry.map_err(|_| Box::new(retryable_error(request, ErrorCode::ShuttingDown, RETRY_AFTER_RESTART)))
}

/// Counts and logs a connection that was admitted.
pub(super) fn admit(
    request: &HttpRequest,
    state: &AppState,
    entry: RegistryEntry,
    address_guard: ConnectionGuard,
    transport: Transport,
) -> Admitted {
    let request_id = request_id::get(request);
    let log = state.log.new(o!("request_id" => request_id.to_string()));
    let metrics = &state.session.metrics.session;
    metrics.connections.inc();
    if transport == Transport::EventStream {
        metrics.event_streams.inc();
    }
    info!(log, "connected"; "transport" => transport.as_str());
    Admitted { entry, address_guard, request_id, log }
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
