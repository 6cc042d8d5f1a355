//! The responses to methods that a resource does not have, and to OPTIONS.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};

use crate::domain::error_code::ErrorCode;
use crate::http::error_response::error_with_status;

/// Completes the response to a method that a resource does not have: OPTIONS succeeds, and any
/// other one has a body.
pub(super) fn complete<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response.map_into_left_body();
    }
    let allowed = response.headers().get(ALLOW).and_then(|allowed| allowed.to_str().ok());
    let allowed = format!("{}, OPTIONS", allowed.unwrap_or("GET"));
    let is_options = response.request().method() == Method::OPTIONS;
    if !is_options && response.response().body().size() != BodySize::Sized(0) {
        return with_allow(response, &allowed).map_into_left_body();
    }
    let replacement = if is_options {
        HttpResponse::NoContent().finish()
    } else {
        let message = format!("This address takes {allowed}.");
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::ValidationError);
        error_with_status(response.request(), status, code, &message, None)
    };
    with_allow(response.into_response(replacement), &allowed).map_into_right_body()
}

fn with_allow<B>(mut response: ServiceResponse<B>, allowed: &str) -> ServiceResponse<B> {
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}
