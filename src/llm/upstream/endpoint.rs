//! Asking OpenRouter for a document: small, at no cost, of the same host as the answers.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

use crate::llm::upstream::client::{MAX_RETRY_AFTER, UpstreamClient, causes};

/// How long the server gets to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of a document; real ones have some hundreds.
const MAX_BYTES: usize = 64 * 1024;

/// Why there is no document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum LookUpError {
    /// The server answers with another status than 200.
    #[error("it answers with {status}")]
    Status {
        /// The status.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It does not answer, or with something else.
    #[error("{0}")]
    Failed(String),
}

impl UpstreamClient {
    /// Asks for the document at a path below the base URL. Redirects are not followed: the key stays here.
    pub(crate) async fn look_up<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, LookUpError> {
        let failed = |error: reqwest::Error| LookUpError::Failed(causes(&error.without_url()));
        let url = Url::parse_with_params(&format!("{}/{path}", self.base_url), query);
        let mut url = url.map_err(|error| LookUpError::Failed(error.to_string()))?;
        if query.is_empty() {
            url.set_query(None);
        }
        let mut request = self.http.get(url).timeout(TIMEOUT);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            let wish =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after = wish.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
            return Err(LookUpError::Status { status, retry_after });
        }
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(failed)? {
            if body.len() + bytes.len() > MAX_BYTES {
                return Err(LookUpError::Failed("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&bytes);
        }
        serde_json::from_slice(&body)
            .map_err(|error| LookUpError::Failed(format!("its answer is odd: {error}")))
    }
}
