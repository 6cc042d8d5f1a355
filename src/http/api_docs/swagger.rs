//! `GET /docs`: Swagger UI, compiled into the binary.

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use actix_web::web::{Bytes, ServiceConfig, get, resource};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// The Content Security Policy of the chat page, relaxed by what Swagger UI needs: style attributes
/// and inline images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static PAGE: LazyLock<Bytes> = LazyLock::new(|| include_str!("../../../assets/docs/docs.html").into());
static START: LazyLock<Bytes> = LazyLock::new(|| include_str!("../../../assets/docs/docs.js").into());

/// Unpacked on first use, because most servers never serve them.
static BUNDLE: LazyLock<Bytes> = LazyLock::new(|| unpack("swagger-ui-bundle.js"));
static STYLE: LazyLock<Bytes> = LazyLock::new(|| unpack("swagger-ui.css"));

/// A file of the page.
struct PageFile {
    path: &'static str,
    media_type: &'static str,
    content: &'static LazyLock<Bytes>,
}

const FILES: [PageFile; 4] = [
    PageFile { path: "/docs", media_type: HTML, content: &PAGE },
    PageFile { path: "/docs/start.js", media_type: SCRIPT, content: &START },
    PageFile { path: "/docs/swagger-ui-bundle.js", media_type: SCRIPT, content: &BUNDLE },
    PageFile { path: "/docs/swagger-ui.css", media_type: CSS, content: &STYLE },
];

/// Returns a file of the distribution, or nothing if it does not exist, which a test rules out.
fn unpack(name: &str) -> Bytes {
    let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)) else { return Bytes::new() };
    let end = format!("/dist/{name}");
    let path = archive.file_names().flatten().find(|path| path.ends_with(&end)).map(|path| path.into_owned());
    let Some(path) = path else { return Bytes::new() };
    let mut content = Vec::new();
    let read = archive.by_name(&path).map(|mut file| file.read_to_end(&mut content));
    if matches!(read, Ok(Ok(_))) { content.into() } else { Bytes::new() }
}

pub(super) fn routes(config: &mut ServiceConfig) {
    for PageFile { path, media_type, content } in FILES {
        let file = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, media_type))
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-cache"))
                .body(Bytes::clone(content))
        };
        config.service(resource(path).route(get().to(file)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_content() {
        for PageFile { path, content, .. } in FILES {
            assert!(content.len() > 100, "{path} has {} bytes", content.len());
        }
    }
}
