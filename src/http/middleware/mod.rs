//! What every request and response passes: the check of the host name, the path prefix, CORS, and
//! the responses to methods that a resource does not have.

mod cors;
pub(super) mod host;
mod log_throttle;
mod methods;
pub(super) mod path_prefix;
pub(super) mod response_headers;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderValue, ORIGIN};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

pub use self::log_throttle::LogThrottle;
use super::{AppState, origin_check};

/// The middleware of the server for visitors.
pub(super) async fn for_visitors<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let Some(state) = request.app_data::<Data<AppState>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    let request_cors = cors::CrossOriginRequest::of(&request, |origin| {
        origin_check::is_allowed(&state.settings, Some(origin), host_header(&request))
    });
    if let Err(refusal) = host::check(&request, &state) {
        return Ok(refuse(request, *refusal));
    }
    if let Err(redirect) = path_prefix::strip(&mut request, state.site.path_prefix()) {
        return Ok(refuse(request, *redirect));
    }
    let response = methods::complete(next.call(request).await?);
    Ok(request_cors.complete(response))
}

/// The middleware of the server for the operator.
pub(super) async fn for_the_operator<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    if let Some(state) = request.app_data::<Data<AppState>>()
        && let Err(refusal) = host::check(&request, state)
    {
        return Ok(refuse(request, *refusal));
    }
    Ok(methods::complete(next.call(request).await?))
}

fn refuse<B: MessageBody + 'static>(
    request: ServiceRequest,
    response: HttpResponse,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    request.into_response(response).map_into_right_body()
}

fn host_header(request: &ServiceRequest) -> Option<&str> {
    request.headers().get(actix_web::http::header::HOST).map(HeaderValue::to_str)?.ok()
}

/// Returns the `Origin` header of a request.
fn origin_of(request: &ServiceRequest) -> Option<&HeaderValue> {
    request.headers().get(ORIGIN)
}
