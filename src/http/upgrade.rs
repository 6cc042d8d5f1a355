//! `GET /ws/chat`: accepts a WebSocket handshake and starts a session actor.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::error_response::{Rejection, error_with_status};
use super::{AppState, admission};
use crate::domain::error_code::ErrorCode;
use crate::session::connection::socket::{self, Transport, UpgradeError};

pub(super) async fn chat(request: HttpRequest, payload: Payload, state: Data<AppState>) -> HttpResponse {
    accept(&request, payload, &state).unwrap_or_else(|response| *response)
}

/// Accepts a handshake.
///
/// # Errors
/// The response to a request that is rejected.
fn accept(request: &HttpRequest, payload: Payload, state: &AppState) -> Result<HttpResponse, Rejection> {
    admission::check_origin(request, state)?;
    let version = request.headers().get(SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version.as_bytes() != b"13") {
        let problem = UpgradeError::Protocol("the client asks for another version".to_owned());
        return Err(Box::new(not_a_handshake(request, &problem)));
    }
    let entry = admission::register(request, state)?;
    let address_guard = admission::count_address(request, state)?;
    let admitted = admission::admit(request, state, entry, address_guard, Transport::WebSocket);
    let message_timeout = state.session.timeouts.message_timeout;
    let upgraded = socket::upgrade(request, payload, &state.watchdog, message_timeout, |socket| {
        admitted.into_session(state, socket)
    });
    upgraded.map_err(|error| Box::new(not_a_handshake(request, &error)))
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
