//! HTTP error responses: the same JSON error as over the WebSocket.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{AppState, request_id};
use crate::domain::error_code::ErrorCode;
use crate::protocol::server::ErrorFrame;

/// The response to a request that is rejected, as the error of a step. Boxed, because it is large and
/// every step returns it.
pub(super) type Rejection = Box<HttpResponse>;

/// Returns the response for an error code, with the given message.
pub(super) fn error(request: &HttpRequest, code: ErrorCode, message: &str) -> HttpResponse {
    let status = StatusCode::from_u16(code.entry().http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error_with_status(request, status, code, message, None)
}

/// Returns the response for a path at which nothing is served.
pub(super) fn not_found(request: &HttpRequest) -> HttpResponse {
    let (status, code) = (StatusCode::NOT_FOUND, ErrorCode::ValidationError);
    error_with_status(request, status, code, "There is nothing at this address.", None)
}

/// Returns the response for an error code, with a `Retry-After` header.
pub(super) fn retryable_error(request: &HttpRequest, code: ErrorCode, retry_after: Duration) -> HttpResponse {
    let status = StatusCode::from_u16(code.entry().http_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    error_with_status(request, status, code, code.entry().message, Some(retry_after))
}

/// Returns the response for an error code with a status other than its usual one, and counts it.
pub(super) fn error_with_status(
    request: &HttpRequest,
    status: StatusCode,
    code: ErrorCode,
    message: &str,
    retry_after: Option<Duration>,
) -> HttpResponse {
    if let Some(state) = request.app_data::<Data<AppState>>() {
        state.session.metrics.session.count_error(code);
    }
    let mut response = HttpResponse::build(status);
    if let Some(retry_after) = retry_after {
        response.insert_header((RETRY_AFTER, retry_after.as_secs().max(1).to_string()));
    }
    response.json(ErrorFrame {
        code,
        message: message.to_owned(),
        retryable: code.is_retryable(),
        retry_after_ms: retry_after.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        id: None,
        turn_id: None,
        request_id: request_id::get(request),
    })
}
