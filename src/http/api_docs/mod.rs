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

use actix_web::HttpRequest;
use actix_web::web::{Data, ServiceConfig};

use super::AppState;
use super::content::representation::{REVALIDATE, Representation};
use super::routing::readable;
use crate::settings::PublicUrl;

const LICENCE: &str = env!("CARGO_PKG_LICENSE");

const CONTACT: &str = "The maintainers of Resume Chatbot";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The documents as they are served.
#[derive(Debug)]
pub(super) struct Documents {
    openapi: Representation,
    asyncapi: Representation,
}

impl Documents {
    /// Generates the documents of a server with this public URL.
    pub(super) fn new(public_url: Option<&PublicUrl>) -> Self {
        let json = |document: &serde_json::Value| {
            Representation::new("application/json", REVALIDATE, document.to_string())
        };
        Self {
            openapi: json(&openapi::document(public_url)),
            asyncapi: json(&asyncapi::document(public_url)),
        }
    }
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(readable("/openapi.json", async |request: HttpRequest, state: Data<AppState>| {
            state.site.documents.openapi.respond(&request)
        }))
        .service(readable("/asyncapi.json", async |request: HttpRequest, state: Data<AppState>| {
            state.site.documents.asyncapi.respond(&request)
        }));
    swagger::routes(config);
}
