//! The client of an OpenAI-compatible server: sends one request and streams its response.
//!
//! The client never retries; [`attempts`](crate::llm::turn::attempts) does.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};

use crate::budget::{Prices, ReportedCost};
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;
use crate::llm::upstream::account::api_key::{self, KeyError, KeyReport};
use crate::llm::upstream::account::generation_cost::{self, CostError};
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::llm::upstream::endpoint::Endpoint;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::rejection::{self, TextTimeout};
use crate::llm::upstream::request::RequestBody;
use crate::llm::upstream::streaming::response::ResponseState;
use crate::llm::upstream::streaming::sink::AnswerSink;
use crate::llm::upstream::streaming::sse::SseDecoder;
use crate::settings::LlmSettings;

/// How long to wait for usage and `[DONE]` after the end of the text. Several servers send neither.
const TRAILER_TIMEOUT: Duration = Duration::from_secs(2);

/// The client of the upstream server.
pub struct UpstreamClient {
    endpoint: Endpoint,
    model: String,
    fallback_models: Vec<String>,
    is_openrouter: bool,
    idle_timeout: Duration,
    app_url: Option<String>,
    app_title: Option<String>,
    max_price: Option<Prices>,
}

impl std::fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamClient").field("base_url", &self.endpoint.base_url()).finish_non_exhaustive()
    }
}

/// One request for an answer.
#[derive(Clone, Copy, Debug)]
pub struct CompletionRequest<'a> {
    pub prompt: &'a Prompt,
    pub session: SessionId,
    /// The index of the model, below [`UpstreamClient::model_count`].
    pub model: usize,
    /// When the first text must have arrived.
    pub first_text_deadline: Instant,
}

impl UpstreamClient {
    /// Returns a client with its own connection pool.
    ///
    /// # Errors
    /// Returns an error if TLS cannot be initialized.
    pub fn new(settings: &LlmSettings) -> Result<Self, reqwest::Error> {
        let builder = if settings.base_url.is_loopback() {
            // A proxy from the environment (`HTTP_PROXY` and so on) is for other machines.
            Client::builder().no_proxy()
        } else {
            Client::builder()
        };
        let http = builder
            .connect_timeout(settings.connect_timeout)
            // With Nagle's algorithm the last small segment of a request would wait for a delayed
            // acknowledgement.
            .tcp_nodelay(true)
            // Another host must receive neither the API key nor the prompt.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("resume-chatbot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            endpoint: Endpoint::new(http, settings.base_url.to_string(), settings.api_key().cloned()),
            model: settings.model.clone(),
            fallback_models: settings.fallback_models.clone(),
            is_openrouter: settings.base_url.is_openrouter(),
            idle_timeout: settings.idle_timeout,
            app_url: settings.app_url.clone(),
            app_title: settings.app_title.clone(),
            max_price: None,
        })
    }

    /// Restricts OpenRouter to providers that charge at most these prices. Has no effect on other
    /// servers.
    #[must_use]
    pub fn with_max_price(self, prices: Option<Prices>) -> Self {
        Self { max_price: prices, ..self }
    }

    /// Returns the number of models to try in order. OpenRouter falls back to other models itself.
    #[must_use]
    pub fn model_count(&self) -> usize {
        if self.is_openrouter { 1 } else { 1 + self.fallback_models.len() }
    }

    /// Returns whether the server reports the credit of the API key and the cost of requests.
    #[must_use]
    pub fn reports_costs(&self) -> bool {
        self.is_openrouter && self.endpoint.has_api_key()
    }

    /// Reads the report about the API key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn key_report(&self) -> Result<KeyReport, KeyError> {
        api_key::fetch(&self.endpoint).await
    }

    /// Reads the cost of the request whose response has this upstream id.
    ///
    /// # Errors
    /// See [`CostError`].
    pub async fn request_cost(&self, upstream_id: &str) -> Result<ReportedCost, CostError> {
        generation_cost::fetch(&self.endpoint, upstream_id).await
    }

    /// Sends the request and streams the text of the response into `sink`.
    ///
    /// Two timeouts apply: one for text (the first, then each further piece; keep-alive comments do
    /// not extend it), and one for bytes, which distinguishes a dead connection from a busy server.
    /// There is no total timeout, so that a long healthy answer is never cut off.
    ///
    /// # Errors
    /// Returns a [`CompletionError`] if the server refuses, fails, times out or sends an unreadable
    /// response.
    pub async fn stream<S: AnswerSink>(
        &self,
        request: CompletionRequest<'_>,
        sink: &S,
    ) -> Result<Completion, CompletionError> {
        let sent = timeout_at(request.first_text_deadline, self.send(request)).await;
        let response = sent.map_err(|_| rejection::no_response())??;
        if let Some(id) = response.headers().get("x-generation-id").and_then(|id| id.to_str().ok()) {
            sink.set_upstream_id(id);
        }
        let mut completion = self.read(response, request.first_text_deadline, sink).await?;
        // If the response names no model, the requested model has answered.
        completion.model.get_or_insert_with(|| self.model_name(request.model).into());
        Ok(completion)
    }

    fn model_name(&self, index: usize) -> &str {
        index.checked_sub(1).and_then(|index| self.fallback_models.get(index)).unwrap_or(&self.model)
    }

    fn body(&self, request: CompletionRequest<'_>) -> serde_json::Result<Vec<u8>> {
        let CompletionRequest { prompt, session, model, .. } = request;
        let model = self.model_name(model);
        let body = match self.is_openrouter {
            true => RequestBody::openrouter(model, &self.fallback_models, prompt, session, self.max_price),
            false => RequestBody::plain(model, prompt),
        };
        serde_json::to_vec(&body)
    }

    async fn send(&self, request: CompletionRequest<'_>) -> Result<Response, CompletionError> {
        let body = self.body(request).map_err(|error| {
            let detail = format!("the prompt cannot be serialized: {error}");
            CompletionError::new(UpstreamErrorKind::BadRequest, detail)
        })?;
        let mut post = self
            .endpoint
            .post("chat/completions")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body);
        if self.is_openrouter {
            for (name, value) in [("HTTP-Referer", &self.app_url), ("X-OpenRouter-Title", &self.app_title)] {
                if let Some(value) = value {
                    post = post.header(name, value);
                }
            }
        }
        let response = post.send().await.map_err(|error| rejection::unreachable(&error))?;
        if response.status().is_success() && rejection::is_event_stream(response.headers()) {
            Ok(response)
        } else {
            Err(rejection::rejected(response).await)
        }
    }

    async fn read<S: AnswerSink>(
        &self,
        mut response: Response,
        first_text_deadline: Instant,
        sink: &S,
    ) -> Result<Completion, CompletionError> {
        let mut decoder = SseDecoder::default();
        let mut state = ResponseState::default();
        let mut deadline = first_text_deadline;
        let mut trailer_deadline = None;
        let mut last_byte_at = Instant::now();
        while !state.is_done {
            let bytes = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(bytes)) => bytes,
                Err(_) | Ok(Err(_)) if state.is_finished() => break,
                Err(_) => {
                    let is_connection_alive = last_byte_at.elapsed() < self.idle_timeout;
                    let timeout = TextTimeout { has_text: state.has_text, is_connection_alive };
                    return Err(rejection::no_text(timeout));
                }
                Ok(Err(error)) => return Err(rejection::interrupted(&error)),
            };
            let had_text = state.has_text;
            let Some(bytes) = bytes else {
                decoder.finish(|data| state.on_message(data, sink)).map_err(rejection::undecodable)?;
                break;
            };
            last_byte_at = Instant::now();
            state.has_progressed = false;
            decoder.feed(&bytes, |data| state.on_message(data, sink)).map_err(rejection::undecodable)?;
            if state.has_text && !had_text {
                sink.on_first_text();
            }
            if state.is_finished() {
                // Set only once: keep-alive comments must not extend it.
                let trailer_by = last_byte_at + TRAILER_TIMEOUT.min(self.idle_timeout);
                deadline = *trailer_deadline.get_or_insert(trailer_by);
            } else if state.has_progressed {
                // Reasoning extends the deadline of the first text, but never shortens it.
                let next_text_by = last_byte_at + self.idle_timeout;
                deadline = if state.has_text { next_text_by } else { deadline.max(next_text_by) };
            }
        }
        state.into_completion()
    }
}
