//! `GET /docs`: Swagger UI, compiled into the binary.

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::{Bytes, ServiceConfig};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use crate::http::content::representation::{REVALIDATE, Representation};
use crate::http::routing::readable;

/// The Content Security Policy of the chat page, relaxed by what Swagger UI needs: style attributes
/// and inline images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static PAGE: LazyLock<Representation> =
    LazyLock::new(|| represent(HTML, include_str!("../../../assets/docs/docs.html")));
static START: LazyLock<Representation> =
    LazyLock::new(|| represent(SCRIPT, include_str!("../../../assets/docs/docs.js")));

/// Unpacked on first use, because most servers never serve them.
static BUNDLE: LazyLock<Representation> = LazyLock::new(|| represent(SCRIPT, unpack("swagger-ui-bundle.js")));
static STYLE: LazyLock<Representation> = LazyLock::new(|| represent(CSS, unpack("swagger-ui.css")));

/// The files of the page, by path.
static FILES: [(&str, &LazyLock<Representation>); 4] = [
    ("/docs", &PAGE),
    ("/docs/start.js", &START),
    ("/docs/swagger-ui-bundle.js", &BUNDLE),
    ("/docs/swagger-ui.css", &STYLE),
];

fn represent(media_type: &'static str, content: impl Into<Bytes>) -> Representation {
    Representation::new(media_type, REVALIDATE, content).with_header(CONTENT_SECURITY_POLICY, POLICY)
}

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
    for (path, file) in FILES {
        config.service(readable(path, async move |request: HttpRequest| file.respond(&request)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_content() {
        for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
            assert!(unpack(name).len() > 100, "{name}");
        }
    }
}
