//! The address and API key of the upstream server, and requests for small JSON documents.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

use crate::domain::clock::Timestamp;
use crate::llm::upstream::connection_pool::ConnectionPool;
use crate::llm::upstream::rejection::error_chain;
use crate::llm::upstream::retry_after;

/// How long the server may take to return a document.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a document; real ones have a few hundred bytes.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The upstream server: its base URL, the API key and a connection pool.
pub(crate) struct Endpoint {
    connections: ConnectionPool,
    base_url: String,
    api_key: Option<SecretString>,
}

/// Why a document could not be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum JsonGetError {
    /// The server responded with a status other than 200.
    #[error("the server responds with status {status}")]
    Status {
        status: u16,
        /// The `Retry-After` header, capped.
        retry_after: Option<Duration>,
    },
    /// The server did not respond, or not with a valid document.
    #[error("{0}")]
    Failed(String),
}

impl Endpoint {
    pub(crate) fn new(connections: ConnectionPool, base_url: String, api_key: Option<SecretString>) -> Self {
        Self { connections, base_url, api_key }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn has_api_key(&self) -> bool {
        self.api_key.is_some()
    }

    /// Returns a POST request, with the API key, for a path below the base URL.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.authenticate(self.connections.client().post(format!("{}/{path}", self.base_url)))
    }

    /// Prepares the client of [`Self::get`] and [`Self::post_to`].
    pub(crate) async fn prepare_unpooled(&self) {
        let _ = self.connections.unpooled().await;
    }

    /// Returns a GET request, with the API key, for a URL at the host of the base URL. Its
    /// connection is not kept.
    pub(crate) fn get(&self, url: &str) -> RequestBuilder {
        self.authenticate(self.connections.unpooled_client().get(url))
    }

    /// Returns a POST request, with the API key, for a URL at the host of the base URL. Its
    /// connection is not kept.
    pub(crate) fn post_to(&self, url: &str) -> RequestBuilder {
        self.authenticate(self.connections.unpooled_client().post(url))
    }

    /// Reads the JSON document at a path below the base URL. Redirects are not followed, so that
    /// the key is sent to no other host.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, JsonGetError> {
        let url = Url::parse_with_params(&format!("{}/{path}", self.base_url), query);
        let mut url = url.map_err(|error| JsonGetError::Failed(error.to_string()))?;
        if query.is_empty() {
            url.set_query(None);
        }
        let request = self.authenticate(self.connections.client().get(url).timeout(TIMEOUT));
        let response = self.send(request, |_| {}).await.map_err(failed)?;
        let body = read_body(response, MAX_DOCUMENT_BYTES).await?;
        serde_json::from_slice(&body)
            .map_err(|error| JsonGetError::Failed(format!("the response is invalid: {error}")))
    }

    /// Sends a request of [`Self::get`] or [`Self::post_to`] and reads the body of its response, which
    /// must have status 200 and at most `max_bytes`.
    pub(crate) async fn read(
        &self,
        request: RequestBuilder,
        max_bytes: usize,
    ) -> Result<Vec<u8>, JsonGetError> {
        read_body(request.send().await.map_err(failed)?, max_bytes).await
    }

    /// Sends a request; see [`ConnectionPool::send`].
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        on_reconnect: impl FnOnce(&str),
    ) -> reqwest::Result<Response> {
        self.connections.send(request, on_reconnect).await
    }

    fn authenticate(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.api_key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }
}

/// Reads the body of a response, which must have status 200 and at most `max_bytes`.
async fn read_body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, JsonGetError> {
    let status = response.status().as_u16();
    if status != 200 {
        let retry_after = retry_after::from_headers(response.headers(), Timestamp::now());
        return Err(JsonGetError::Status { status, retry_after });
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(failed)? {
        if body.len() + bytes.len() > max_bytes {
            return Err(JsonGetError::Failed("the response is too large".to_owned()));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

fn failed(error: reqwest::Error) -> JsonGetError {
    JsonGetError::Failed(error_chain(&error.without_url()))
}
