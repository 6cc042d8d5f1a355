//! The client of an OpenAI-compatible server: sends one request and streams its response.
//!
//! The client never retries; [`attempts`](crate::llm::turn::attempts) does.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use tokio::time::{Instant, timeout_at};

use crate::budget::{Prices, ReportedCost};
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;
use crate::llm::upstream::account::api_key::{self, KeyError, KeyReport};
use crate::llm::upstream::account::generation_cost::{self, CostError};
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::llm::upstream::connection_pool::ConnectionPool;
use crate::llm::upstream::dialect::{Dialect, DialectAttempt, Dialects};
use crate::llm::upstream::endpoint::Endpoint;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::rejection::{self, DecodeError, Rejection, TextTimeout};
use crate::llm::upstream::request::{RequestBody, RequestContent};
use crate::llm::upstream::server::inquiry;
use crate::llm::upstream::server::report::ServerReport;
use crate::llm::upstream::streaming::body::BodyDecoder;
use crate::llm::upstream::streaming::framing::FrameDecoder;
use crate::llm::upstream::streaming::response::{BodyEnd, ResponseState};
use crate::llm::upstream::streaming::sink::AnswerSink;
use crate::settings::LlmSettings;

/// How long to wait for usage and `[DONE]` after the end of the text. Several servers send neither.
const TRAILER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for usage after an error within the stream.
const ERROR_TRAILER_TIMEOUT: Duration = Duration::from_millis(300);

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
    dialects: Dialects,
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
        let connections = ConnectionPool::new(settings)?;
        Ok(Self {
            endpoint: Endpoint::new(connections, settings.base_url.to_string(), settings.api_key().cloned()),
            model: settings.model.clone(),
            fallback_models: settings.fallback_models.clone(),
            is_openrouter: settings.base_url.is_openrouter(),
            idle_timeout: settings.idle_timeout,
            app_url: settings.app_url.clone(),
            app_title: settings.app_title.clone(),
            max_price: None,
            dialects: Dialects::new(settings, 1 + settings.fallback_models.len()),
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

    /// Asks the server what it is and what it knows of the configured models. Takes some seconds
    /// at most.
    pub async fn inquire(&self) -> ServerReport {
        let names: Vec<&str> =
            std::iter::once(&self.model).chain(&self.fallback_models).map(String::as_str).collect();
        self.endpoint.prepare_unpooled().await;
        inquiry::inquire(&self.endpoint, &names).await
    }

    /// Describes what was learned about the form of requests, or returns `None` if nothing was.
    #[must_use]
    pub fn dialect_summary(&self) -> Option<String> {
        self.dialects.summary()
    }

    /// Sends the request and streams the text of the response into `sink`. If the server refuses
    /// the form of the request, it is sent again in a form that the refusal suggests.
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
        let mut attempt = self.dialects.start(request.model);
        loop {
            let sending = self.send_in_any_form(request, &mut attempt, sink);
            let sent = timeout_at(request.first_text_deadline, sending).await;
            let response = sent.map_err(|_| rejection::no_response())??;
            if let Some(id) = response.headers().get("x-generation-id").and_then(|id| id.to_str().ok()) {
                sink.set_upstream_id(id);
            }
            let mut state = ResponseState::new(request.prompt, attempt.closes_thinking);
            let ended = self.read(response, request.first_text_deadline, &mut state, sink).await;
            // Some servers refuse the form within the stream.
            if state.error_before_text().is_some_and(|error| attempt.learn(error)) {
                continue;
            }
            self.keep_lessons(request.model, attempt, &state, sink);
            let mut completion = match ended {
                Ok(end) => state.into_completion(end, request.prompt)?,
                Err(error) => return Err(state.add_to(error)),
            };
            // If the response names no model, the requested model has answered.
            completion.model.get_or_insert_with(|| self.model_name(request.model).into());
            return Ok(completion);
        }
    }

    /// Keeps what the refusals of a request have taught, if the last form led to an answer.
    fn keep_lessons<S: AnswerSink>(
        &self,
        model: usize,
        attempt: DialectAttempt<'_>,
        state: &ResponseState,
        sink: &S,
    ) {
        if state.has_answered() {
            for lesson in attempt.keep() {
                sink.on_lesson(&lesson.to_string());
            }
        }
        if let Some(closes_thinking) = state.lone_closing_tag
            && self.dialects.set_closes_thinking(model, closes_thinking)
            && closes_thinking
        {
            sink.on_lesson("thinking without an opening tag");
        }
    }

    fn model_name(&self, index: usize) -> &str {
        index.checked_sub(1).and_then(|index| self.fallback_models.get(index)).unwrap_or(&self.model)
    }

    fn body(&self, request: CompletionRequest<'_>, dialect: Dialect) -> serde_json::Result<Vec<u8>> {
        let CompletionRequest { prompt, session, model, .. } = request;
        let content = RequestContent {
            model: self.model_name(model),
            fallback_models: &self.fallback_models,
            prompt,
            session,
            max_price: self.max_price,
        };
        serde_json::to_vec(&RequestBody::new(content, dialect))
    }

    /// Sends the request, and again in another form as long as a refusal suggests one.
    async fn send_in_any_form<S: AnswerSink>(
        &self,
        request: CompletionRequest<'_>,
        attempt: &mut DialectAttempt<'_>,
        sink: &S,
    ) -> Result<Response, CompletionError> {
        loop {
            let response = self.send(request, attempt.dialect, sink).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let rejection = Rejection::read(response).await;
            if !rejection.refused_form().is_some_and(|error| attempt.learn(error)) {
                return Err(rejection.into_error(request.prompt));
            }
        }
    }

    async fn send<S: AnswerSink>(
        &self,
        request: CompletionRequest<'_>,
        dialect: Dialect,
        sink: &S,
    ) -> Result<Response, CompletionError> {
        let body = self.body(request, dialect).map_err(|error| {
            let detail = format!("the prompt cannot be serialized: {error}");
            CompletionError::new(UpstreamErrorKind::BadRequest, detail)
        })?;
        let mut post = self
            .endpoint
            .post("chat/completions")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(ACCEPT_ENCODING, "identity")
            .body(body);
        if self.is_openrouter {
            for (name, value) in [("HTTP-Referer", &self.app_url), ("X-OpenRouter-Title", &self.app_title)] {
                if let Some(value) = value {
                    post = post.header(name, value);
                }
            }
        }
        let sent = self.endpoint.send(post, |cause| sink.on_reconnect(cause)).await;
        sent.map_err(|error| rejection::unreachable(&error))
    }

    async fn read<S: AnswerSink>(
        &self,
        mut response: Response,
        first_text_deadline: Instant,
        state: &mut ResponseState,
        sink: &S,
    ) -> Result<BodyEnd, CompletionError> {
        let headers = response.headers().clone();
        let undecodable = |error: &DecodeError| rejection::undecodable(error, &headers);
        let encoding = headers.get(CONTENT_ENCODING).and_then(|encoding| encoding.to_str().ok());
        let mut body = BodyDecoder::new(encoding).map_err(|error| undecodable(&error.into()))?;
        let mut decoder = FrameDecoder::default();
        state.is_document = rejection::is_json(&headers);
        let mut deadline = first_text_deadline;
        let mut trailer_deadline = None;
        let mut last_byte_at = Instant::now();
        let end = loop {
            if state.is_done {
                break BodyEnd::Ended;
            }
            let bytes = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(bytes)) => bytes,
                Err(_) | Ok(Err(_)) if state.is_finished() || state.has_failed() => break BodyEnd::CutOff,
                Err(_) => {
                    let is_connection_alive = last_byte_at.elapsed() < self.idle_timeout;
                    let timeout = TextTimeout { has_text: state.has_text, is_connection_alive };
                    return Err(rejection::no_text(timeout));
                }
                Ok(Err(error)) => return Err(rejection::interrupted(&error)),
            };
            let had_text = state.has_text;
            let Some(bytes) = bytes else {
                let rest = decoder.finish(|frame| state.on_frame(frame, sink));
                rest.map_err(|error| undecodable(&error.into()))?;
                break BodyEnd::Ended;
            };
            last_byte_at = Instant::now();
            state.has_progressed = false;
            let decoded = body.decode(&bytes, |bytes| {
                decoder.feed(bytes, |frame| state.on_frame(frame, sink)).map_err(DecodeError::from)
            });
            decoded.map_err(|error| undecodable(&error))?;
            if state.has_text && !had_text {
                sink.on_first_text();
            }
            if state.is_finished() || state.has_failed() {
                let timeout = if state.has_failed() { ERROR_TRAILER_TIMEOUT } else { TRAILER_TIMEOUT };
                // Set only once: keep-alive comments must not extend it.
                let trailer_by = last_byte_at + timeout.min(self.idle_timeout);
                deadline = *trailer_deadline.get_or_insert(trailer_by);
            } else if state.has_progressed {
                trailer_deadline = None;
                // Thinking extends the deadline of the first text, but never shortens it.
                let next_text_by = last_byte_at + self.idle_timeout;
                deadline = if state.has_text { next_text_by } else { deadline.max(next_text_by) };
            }
        };
        let had_text = state.has_text;
        state.finish_text(sink);
        if state.has_text && !had_text {
            sink.on_first_text();
        }
        let is_stream = rejection::is_event_stream(&headers) && !body.is_unreadable();
        if end == BodyEnd::Ended && !state.has_choices() && !is_stream {
            return Err(rejection::not_a_stream(&headers));
        }
        Ok(end)
    }
}
