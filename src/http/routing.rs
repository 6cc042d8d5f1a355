//! Resources that can be read, and the responses where there is none.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{get, head, resource};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder};

use super::error_response::not_found;

/// Returns a resource that answers GET and HEAD with the same handler. The HTTP library leaves out
/// the body of a response to HEAD.
pub(super) fn readable<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path).route(get().to(handler.clone())).route(head().to(handler))
}

/// Answers a request for an unknown path. One with a slash too many is sent to the path without it.
pub(super) async fn unknown_path(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let shorter = path.trim_end_matches('/');
    if shorter.len() == path.len() || !request.resource_map().has_resource(shorter) {
        return not_found(&request);
    }
    // Relative, because a proxy may have removed a prefix from the path.
    let name = shorter.rsplit('/').next().unwrap_or_default();
    let up = "../".repeat(path.len() - shorter.len());
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    HttpResponse::build(StatusCode::PERMANENT_REDIRECT)
        .insert_header((LOCATION, format!("{up}{name}{query}")))
        .finish()
}
