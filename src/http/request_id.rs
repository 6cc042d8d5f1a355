//! Gives every request its id and every response the headers all of them have, also when what answers it panics.

use std::fmt;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use slog::error;

use super::HttpSurroundings;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::protocol::server::ErrorFrame;
use crate::supervision::caught;
use crate::telemetry::request_id::{HEADER, accept_or_generate};

#[derive(Clone)]
struct RequestId(Arc<str>);

/// A request whose handler panicked, told like any other error.
#[derive(Debug)]
struct Panicked {
    request_id: Arc<str>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler panicked")
    }
}

impl ResponseError for Panicked {
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::InternalServerError();
        response
            .insert_header((HEADER, &*self.request_id))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        response.json(ErrorFrame::of(ErrorCode::InternalError, Arc::clone(&self.request_id)))
    }
}

/// The id of this request.
pub(super) fn of(request: &HttpRequest) -> Arc<str> {
    request.extensions().get::<RequestId>().map_or_else(|| accept_or_generate(None), |id| Arc::clone(&id.0))
}

/// Middleware: honours or makes the id, and echoes it.
pub(super) async fn attach(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let id = accept_or_generate(given);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let surroundings = request.app_data::<Data<HttpSurroundings>>().cloned();
    let mut response = match caught(Component::Http, async { next.call(request).await }).await {
        Ok(response) => response?,
        Err(panic) => {
            if let Some(surroundings) = surroundings {
                error!(surroundings.log, "a request panicked"; "request_id" => &*id, &panic);
                surroundings.session.metrics.session.count_error(ErrorCode::InternalError);
            }
            return Err(Panicked { request_id: id }.into());
        }
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static(HEADER), value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
