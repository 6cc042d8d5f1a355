//! Removes the path of `PUBLIC_URL`, so that requests are served the same whether the proxy removes
//! it or not.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::LOCATION;
use actix_web::http::uri::{PathAndQuery, Uri};

/// Removes the prefix from the path of a request, unless a resource has the path with it.
///
/// # Errors
/// The redirection from the prefix without a slash at its end, which relative addresses need.
pub(super) fn strip(request: &mut ServiceRequest, prefix: &str) -> Result<(), Box<HttpResponse>> {
    if prefix.is_empty() || !request.path().starts_with(prefix) {
        return Ok(());
    }
    let rest = request.path().strip_prefix(prefix).unwrap_or_default();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if rest.is_empty() {
        let name = prefix.rsplit('/').next().unwrap_or_default();
        let mut redirect = HttpResponse::PermanentRedirect();
        let redirect = redirect.insert_header((LOCATION, format!("./{name}/{query}"))).finish();
        return Err(Box::new(redirect));
    }
    if !rest.starts_with('/') || request.resource_map().has_resource(request.path()) {
        return Ok(());
    }
    let Ok(path) = PathAndQuery::try_from(format!("{rest}{query}")) else { return Ok(()) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    Ok(())
}
