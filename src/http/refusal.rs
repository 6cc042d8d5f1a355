//! Refusals over HTTP: the same JSON error as over the WebSocket.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{HttpSurroundings, request_id};
use crate::domain::error_code::ErrorCode;
use crate::protocol::server::ErrorFrame;

/// The response that refuses a request.
pub(super) fn refuse(request: &HttpRequest, code: ErrorCode, message: &str) -> HttpResponse {
    let status = StatusCode::from_u16(code.entry().http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_status(request, status, code, message, None)
}

/// The same, to be tried again after some time.
pub(super) fn refuse_for(request: &HttpRequest, code: ErrorCode, wait: Duration) -> HttpResponse {
    let status = StatusCode::from_u16(code.entry().http_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    with_status(request, status, code, code.entry().message, Some(wait))
}

/// The same with a status of its own.
pub(super) fn with_status(
    request: &HttpRequest,
    status: StatusCode,
    code: ErrorCode,
    message: &str,
    wait: Option<Duration>,
) -> HttpResponse {
    if let Some(surroundings) = request.app_data::<Data<HttpSurroundings>>() {
        surroundings.session.metrics.session.count_error(code);
    }
    let mut response = HttpResponse::build(status);
    if let Some(wait) = wait {
        response.insert_header((RETRY_AFTER, wait.as_secs().max(1).to_string()));
    }
    response.json(ErrorFrame {
        code,
        message: message.to_owned(),
        retryable: code.entry().retryable,
        retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        id: None,
        turn_id: None,
        request_id: request_id::of(request),
    })
}
