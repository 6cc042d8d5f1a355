//! The chat page and the browser files, compiled into the binary.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use actix_web::web::{Bytes, Path, ServiceConfig, get, resource};
use actix_web::{HttpRequest, HttpResponse};

use super::assets::{self, Asset};
use super::error_response::error;
use crate::domain::error_code::ErrorCode;

/// The Content Security Policy: only the page's own files, no inline code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const HTML: &str = "text/html; charset=utf-8";

static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let template = include_str!("../../assets/page/chat.html");
    Bytes::from(template.replace("{{assets}}", &format!("assets/{}", assets::REVISION)))
});

/// A file at an address that does not change.
pub(super) struct StaticFile {
    pub(super) path: &'static str,
    pub(super) media_type: &'static str,
    content: Bytes,
}

/// Returns the page and the entry points.
pub(super) fn stable_files() -> Vec<StaticFile> {
    let page = StaticFile { path: "/", media_type: HTML, content: Bytes::clone(&PAGE) };
    let entry_points = assets::ENTRY_POINTS.iter().map(|asset| StaticFile {
        path: asset.path,
        media_type: asset.media_type,
        content: Bytes::from_static(asset.identity),
    });
    std::iter::once(page).chain(entry_points).collect()
}

pub(super) fn routes(config: &mut ServiceConfig) {
    for StaticFile { path, media_type, content } in stable_files() {
        let file = move || {
            let content = content.clone();
            async move { response(media_type, "no-cache", content) }
        };
        config.service(resource(path).route(get().to(file)));
    }
    config.service(resource("/assets/{revision}/{path:.*}").route(get().to(asset)));
}

/// Serves a file of a revision. A page of another version of this server receives the current file,
/// which caches must not keep under that address.
async fn asset(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let (revision, path) = path.into_inner();
    let Some(Asset { media_type, identity, .. }) = assets::find(&path) else {
        return error(&request, ErrorCode::ValidationError, "There is no such file.");
    };
    let caching =
        if revision == assets::REVISION { "public, max-age=31536000, immutable" } else { "no-cache" };
    response(media_type, caching, Bytes::from_static(identity))
}

fn response(media_type: &'static str, caching: &'static str, content: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, caching))
        .body(content)
}
