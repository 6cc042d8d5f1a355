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

/// Path, type and text of every file.
pub(super) const FILES: [(&str, &str, &str); 11] = [
    ("/", HTML, include_str!("../../assets/chat.html")),
    ("/chat.css", CSS, include_str!("../../assets/chat.css")),
    ("/chat.js", SCRIPT, include_str!("../../assets/chat.js")),
    ("/turn-view.js", SCRIPT, include_str!("../../assets/turn-view.js")),
    ("/streaming-markdown.js", SCRIPT, include_str!("../../assets/streaming-markdown.js")),
    ("/client.js", SCRIPT, include_str!("../../assets/client.js")),
    ("/connection.js", SCRIPT, include_str!("../../assets/connection.js")),
    ("/transcript.js", SCRIPT, include_str!("../../assets/transcript.js")),
    ("/pending-ratings.js", SCRIPT, include_str!("../../assets/pending-ratings.js")),
    ("/session-store.js", SCRIPT, include_str!("../../assets/session-store.js")),
    ("/turn.js", SCRIPT, include_str!("../../assets/turn.js")),
];

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, kind, text) in FILES {
        let file = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, kind))
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-cache"))
                .body(text)
        };
        config.service(resource(path).route(get().to(file)));
    }
}
