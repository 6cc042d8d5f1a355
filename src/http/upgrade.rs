//! `GET /ws/chat`: from a handshake to a session.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_VERSION, UPGRADE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use slog::{info, o, warn};

use super::refusal::{refuse, refuse_for, with_status};
use super::{HttpSurroundings, origin, request_id};
use crate::domain::address_limit::AddressLimit;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::limits::{AddressKey, Exceeded, client_address};
use crate::session::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::NotAHandshake;

/// Where proxies say who a client is.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// When to try again while the server restarts.
const RETRY_WHEN_LEAVING: Duration = Duration::from_secs(2);

pub(super) async fn chat(
    request: HttpRequest,
    payload: Payload,
    surroundings: Data<HttpSurroundings>,
) -> HttpResponse {
    let header = |name: HeaderName| request.headers().get(name).map(HeaderValue::to_str);
    let (origin, host) = (header(ORIGIN), header(HOST).and_then(Result::ok));
    let allowed = match origin {
        Some(Err(_)) => false,
        Some(Ok(origin)) => origin::is_allowed(&surroundings.settings, Some(origin), host),
        None => origin::is_allowed(&surroundings.settings, None, host),
    };
    if !allowed {
        let message =
            "Pages of this origin may not connect here. The owner can allow it with ALLOWED_ORIGINS.";
        return refuse(&request, ErrorCode::NotAuthorized, message);
    }
    if header(SEC_WEBSOCKET_VERSION).is_some_and(|version| version.ok() != Some("13")) {
        let problem = NotAHandshake::Protocol("another version is asked for".to_owned());
        return not_a_handshake(&request, &problem);
    }
    let Ok(place) = surroundings.session.registry.admit() else {
        return refuse_for(&request, ErrorCode::ShuttingDown, RETRY_WHEN_LEAVING);
    };
    let visitor = match surroundings.addresses.admit(Timestamp::now(), address_of(&request, &surroundings)) {
        Ok(visitor) => visitor,
        Err(exceeded) => return too_many(&request, exceeded),
    };
    let request_id = request_id::of(&request);
    let log = surroundings.log.new(o!("request_id" => request_id.to_string()));
    surroundings.session.metrics.session.connections.inc();
    info!(log, "connected");
    let session = Arc::clone(&surroundings.session);
    let message_timeout = session.times.message_timeout;
    let upgraded = socket::upgrade(&request, payload, &surroundings.watchdog, message_timeout, |line| {
        SessionActor::new(session, place, visitor, request_id, log, line)
    });
    upgraded.unwrap_or_else(|error| not_a_handshake(&request, &error))
}

/// Whose limits the connection counts against.
fn address_of(request: &HttpRequest, surroundings: &HttpSurroundings) -> AddressKey {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if request.headers().contains_key(FORWARDED_FOR)
        && is_near(peer)
        && !surroundings.trusted_proxies.contains(peer)
    {
        // Once: a client can write the header too, and must not fill the log with it.
        surroundings.unnamed_proxy.call_once(|| {
            warn!(surroundings.log, "a proxy that TRUSTED_PROXIES does not name sends visitors: they share the limits of one address";
                "peer" => %peer);
        });
    }
    // A line that is not text must keep its place: what stands before it must not move closer to being believed.
    let lines = request.headers().get_all(FORWARDED_FOR).map(|line| line.to_str().unwrap_or("?"));
    AddressKey::of(client_address(peer, lines, &surroundings.trusted_proxies))
}

/// Whether an address is of this machine or its network, as that of a proxy in front of the server is.
fn is_near(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
    }
}

fn too_many(request: &HttpRequest, exceeded: Exceeded) -> HttpResponse {
    if exceeded.limit == AddressLimit::TotalConnections {
        return refuse_for(request, ErrorCode::Overloaded, exceeded.retry_after);
    }
    let message = "Too many connections are open from your address. Please close some of them.";
    let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimitExceeded);
    with_status(request, status, code, message, Some(exceeded.retry_after))
}

fn not_a_handshake(request: &HttpRequest, error: &NotAHandshake) -> HttpResponse {
    let status = match error {
        NotAHandshake::Key(_) => StatusCode::BAD_REQUEST,
        NotAHandshake::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        NotAHandshake::Protocol(_) => StatusCode::UPGRADE_REQUIRED,
    };
    let message = format!("This address takes WebSocket handshakes, version 13: {error}.");
    let mut response = with_status(request, status, ErrorCode::ValidationError, &message, None);
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
