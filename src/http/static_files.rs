//! The files of the chat page and the client module, compiled into the binary.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use actix_web::web::{ServiceConfig, get, resource};

/// The Content Security Policy: only the page's own files, no inline code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the chat page or the client module.
pub(super) struct StaticFile {
    pub(super) path: &'static str,
    pub(super) media_type: &'static str,
    content: &'static str,
}

pub(super) const FILES: [StaticFile; 11] = [
    StaticFile { path: "/", media_type: HTML, content: include_str!("../../assets/chat.html") },
    StaticFile { path: "/chat.css", media_type: CSS, content: include_str!("../../assets/chat.css") },
    StaticFile { path: "/chat.js", media_type: SCRIPT, content: include_str!("../../assets/chat.js") },
    StaticFile {
        path: "/turn-view.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/turn-view.js"),
    },
    StaticFile {
        path: "/streaming-markdown.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/streaming-markdown.js"),
    },
    StaticFile { path: "/client.js", media_type: SCRIPT, content: include_str!("../../assets/client.js") },
    StaticFile {
        path: "/connection.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/connection.js"),
    },
    StaticFile {
        path: "/transcript.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/transcript.js"),
    },
    StaticFile {
        path: "/pending-ratings.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/pending-ratings.js"),
    },
    StaticFile {
        path: "/session-store.js",
        media_type: SCRIPT,
        content: include_str!("../../assets/session-store.js"),
    },
    StaticFile { path: "/turn.js", media_type: SCRIPT, content: include_str!("../../assets/turn.js") },
];

pub(super) fn routes(config: &mut ServiceConfig) {
    for StaticFile { path, media_type, content } in FILES {
        let file = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, media_type))
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-cache"))
                .body(content)
        };
        config.service(resource(path).route(get().to(file)));
    }
}
