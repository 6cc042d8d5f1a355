//! The API documents: OpenAPI, AsyncAPI, and Swagger UI to read them.
//!
//! Both documents are generated from the protocol types once, when the server starts.

mod asyncapi;
#[cfg(test)]
mod docs_sync_test;
mod event_stream;
mod examples;
mod messages;
mod openapi;
mod swagger;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, ServiceConfig, get, resource};
use serde_json::Value;

const LICENCE: &str = env!("CARGO_PKG_LICENSE");

const CONTACT: &str = "The maintainers of Resume Chatbot";

const VERSION: &str = env!("CARGO_PKG_VERSION");

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| serialize(&openapi::document()));
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| serialize(&asyncapi::document()));

fn serialize(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, document) in [("/openapi.json", &OPENAPI), ("/asyncapi.json", &ASYNCAPI)] {
        // Forces the lazy value at start-up instead of in the first request.
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
