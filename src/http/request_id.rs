//! Middleware that assigns request ids and common response headers, and catches panics of handlers.

use std::fmt;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use slog::error;

use super::AppState;
use super::connection::UpgradeMark;
use super::middleware::response_headers::ResponseHeaders;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::protocol::server::ErrorFrame;
use crate::system::panics::catch_panic;
use crate::telemetry::request_id::{HEADER, accept_or_generate};

#[derive(Clone)]
struct RequestId(Arc<str>);

/// The error of a request whose handler panicked.
#[derive(Debug)]
struct Panicked {
    request_id: Arc<str>,
    headers: Option<Arc<ResponseHeaders>>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler panicked")
    }
}

impl ResponseError for Panicked {
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::InternalServerError()
            .insert_header((HEADER, &*self.request_id))
            .json(ErrorFrame::new(ErrorCode::InternalError, Arc::clone(&self.request_id)));
        if let Some(headers) = &self.headers {
            headers.complete(response.headers_mut());
        }
        response
    }
}

/// Returns the id of a request.
pub(super) fn get(request: &HttpRequest) -> Arc<str> {
    request.extensions().get::<RequestId>().map_or_else(|| accept_or_generate(None), |id| Arc::clone(&id.0))
}

/// Takes the request id from the header or generates one, and adds it to the response.
pub(super) async fn attach(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let id = accept_or_generate(given);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let state = request.app_data::<Data<AppState>>().cloned();
    let mut response = match catch_panic(Component::Http, async { next.call(request).await }).await {
        Ok(response) => response?,
        Err(panic) => {
            if let Some(state) = &state {
                error!(state.log, "request handler panicked"; "request_id" => &*id, &panic);
                state.session.metrics.session.count_error(ErrorCode::InternalError);
            }
            let headers = state.map(|state| Arc::clone(&state.site.response_headers));
            return Err(Panicked { request_id: id, headers }.into());
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(upgraded) = response.request().conn_data::<Arc<UpgradeMark>>()
    {
        upgraded.set();
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static(HEADER), value);
    }
    if let Some(state) = state {
        state.site.response_headers.complete(headers);
    }
    Ok(response)
}
