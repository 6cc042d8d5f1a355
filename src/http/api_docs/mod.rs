//! What the server says about itself: OpenAPI, AsyncAPI, and a page to read them on.
//!
//! Both documents are made from the Rust types of the wire, once, when the server starts; a request copies a pointer.

mod asyncapi;
#[cfg(test)]
mod docs_sync_test;
mod examples;
mod messages;
mod openapi;
mod swagger;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, ServiceConfig, get, resource};
use serde_json::Value;

/// The licence of the server, as in its manifest.
const LICENCE: &str = env!("CARGO_PKG_LICENSE");

/// Who answers for the documents.
const CONTACT: &str = "The maintainers of Resume Chatbot";

/// The version of the server.
const VERSION: &str = env!("CARGO_PKG_VERSION");

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| written(&openapi::document()));
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| written(&asyncapi::document()));

fn written(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, document) in [("/openapi.json", &OPENAPI), ("/asyncapi.json", &ASYNCAPI)] {
        // Made now, at the start of the first worker, and not by the first who asks.
        let document = Bytes::clone(document);
        let send = move || {
            let document = document.clone();
            async move {
                HttpResponse::Ok()
                    .content_type("application/json")
                    .insert_header((CACHE_CONTROL, "no-cache"))
                    .body(document)
            }
        };
        config.service(resource(path).route(get().to(send)));
    }
    swagger::routes(config);
}
