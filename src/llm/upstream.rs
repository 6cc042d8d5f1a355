//! The client of an OpenAI-compatible server: one streamed request per answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::chunk::{Chunk, ChunkUsage, ErrorBody};
use super::generation::{Failure, Generation};
use super::prompt::Prompt;
use super::source::{Finish, SourceError};
use super::sse::SseDecoder;
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{TurnStatus, Usage};
use crate::settings::LlmSettings;

/// How long to wait for what may follow the end of the text: usage, `[DONE]`. Several servers send neither.
const TRAILER_PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Talks to the model's server.
pub struct UpstreamClient {
    http: Client,
    endpoint: String,
    api_key: Option<SecretString>,
    model: String,
    fallback_models: Vec<String>,
    openrouter: bool,
    first_word_timeout: Duration,
    idle_timeout: Duration,
}

impl std::fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamClient").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    models: &'a [String],
    messages: &'a Prompt,
    stream: bool,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins: Option<[Plugin; 1]>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Plugin {
    id: &'static str,
    enabled: bool,
}

impl UpstreamClient {
    /// A client with a connection pool of its own.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: &LlmSettings) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .connect_timeout(settings.connect_timeout)
            // Without it the last small segment of a request waits for an acknowledgement that is itself delayed.
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("resume-chatbot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            endpoint: format!("{}/chat/completions", settings.base_url),
            api_key: settings.api_key.clone(),
            model: settings.model.clone(),
            fallback_models: settings.fallback_models.clone(),
            openrouter: settings.openrouter,
            first_word_timeout: settings.first_word_timeout,
            idle_timeout: settings.idle_timeout,
        })
    }

    /// Streams the answer to `prompt` into `generation`.
    ///
    /// One clock runs: until the first word, then from word to word. Keep-alive comments do not wind it, and there is
    /// no total, so a long healthy answer is never cut.
    ///
    /// # Errors
    /// [`SourceError`] when the server refuses, fails, falls silent or sends what cannot be read.
    pub async fn answer(&self, prompt: &Prompt, generation: &Generation) -> Result<Finish, SourceError> {
        let first_word_by = Instant::now() + self.first_word_timeout;
        let response =
            timeout_at(first_word_by, self.request(prompt)).await.map_err(|_| silent("no reply"))??;
        self.read(response, first_word_by, generation).await
    }

    async fn request(&self, prompt: &Prompt) -> Result<Response, SourceError> {
        let body = serde_json::to_vec(&Request {
            model: &self.model,
            models: &self.fallback_models,
            messages: prompt,
            stream: true,
            max_tokens: prompt.max_response_tokens,
            // OpenRouter sends usage unasked; other servers only when asked.
            stream_options: (!self.openrouter).then_some(StreamOptions { include_usage: true }),
            // We prune ourselves; OpenRouter would otherwise squeeze the prompts of models with small windows.
            plugins: self.openrouter.then_some([Plugin { id: "context-compression", enabled: false }]),
        })
        .map_err(|error| {
            failed(ErrorCode::InternalError, format!("the prompt cannot be written: {error}"))
        })?;
        let mut request = self
            .http
            .post(&self.endpoint)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    async fn read(
        &self,
        mut response: Response,
        first_word_by: Instant,
        generation: &Generation,
    ) -> Result<Finish, SourceError> {
        let mut decoder = SseDecoder::default();
        let mut answer = Answer::default();
        let mut next_by = first_word_by;
        let mut trailing_until = None;
        while !answer.done {
            let bytes = match timeout_at(next_by, response.chunk()).await {
                Ok(Ok(bytes)) => bytes,
                Err(_) if answer.finish_reason.is_some() => break,
                Ok(Err(_)) if answer.finish_reason.is_some() => break,
                Err(_) if generation.is_empty() => return Err(silent("no first word")),
                Err(_) => return Err(silent("no further word")),
                Ok(Err(error)) => return Err(broken(&error)),
            };
            let Some(bytes) = bytes else {
                decoder.finish(|data| answer.take(data, generation)).map_err(unreadable)?;
                break;
            };
            answer.progressed = false;
            decoder.feed(&bytes, |data| answer.take(data, generation)).map_err(unreadable)?;
            if answer.finish_reason.is_some() {
                // Set once: what comes now may be comments without end.
                let trailer_by = Instant::now() + TRAILER_PATIENCE.min(self.idle_timeout);
                next_by = *trailing_until.get_or_insert(trailer_by);
            } else if answer.progressed {
                next_by = Instant::now() + self.idle_timeout;
            }
        }
        answer.into_finish(generation)
    }
}

/// What the stream has said so far.
#[derive(Debug, Default)]
struct Answer {
    model: Option<Arc<str>>,
    finish_reason: Option<String>,
    usage: Option<ChunkUsage>,
    error: Option<SourceError>,
    /// `[DONE]` came, or nothing more is wanted.
    done: bool,
    /// The model showed since the last look that it is at work.
    progressed: bool,
    /// Data messages that were not JSON objects.
    unreadable: u32,
}

impl Answer {
    fn take(&mut self, data: &str, generation: &Generation) {
        if self.done {
            return;
        }
        if data.trim() == "[DONE]" {
            self.done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(data) else {
            self.unreadable += 1;
            return;
        };
        if let Some(error) = &chunk.error {
            let status = error.status().and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
            self.error = Some(SourceError {
                failure: classify(status).into(),
                detail: format!("the model's server failed within the stream: {}", error.describe()),
                is_servers_fault: is_servers_fault(status),
            });
            self.done = true;
            return;
        }
        if let Some(delta) = chunk.choice().and_then(|choice| choice.delta.as_ref()) {
            let text = delta.content.as_deref().unwrap_or_default();
            self.progressed |= !text.is_empty() || delta.reasoning.as_ref().is_some_and(|it| !it.is_null());
            if !generation.append(text) {
                self.finish_reason = Some("length".to_owned());
                self.done = true;
            }
        }
        if let Some(reason) = chunk.choice().and_then(|choice| choice.finish_reason.as_ref()) {
            self.finish_reason.get_or_insert_with(|| reason.clone());
        }
        self.usage = chunk.usage.or(self.usage);
        if let (None, Some(model)) = (&self.model, chunk.model) {
            self.model = Some(model.into());
        }
    }

    fn into_finish(self, generation: &Generation) -> Result<Finish, SourceError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let status = match self.finish_reason.as_deref() {
            Some("length") => TurnStatus::Length,
            Some("content_filter") => {
                return Err(failed(ErrorCode::ContentRejected, "the model's server filtered the answer"));
            }
            Some("error") => return Err(failed(ErrorCode::ApiError, "the model ended with an error")),
            _ => TurnStatus::Complete,
        };
        if generation.is_empty() {
            let unreadable = self.unreadable;
            let detail = format!("the stream ended without a word ({unreadable} messages were not JSON)");
            return Err(failed(ErrorCode::ApiError, detail));
        }
        if self.finish_reason.is_none() && !self.done {
            let detail = "the stream ended without saying that the answer is whole";
            return Err(failed(ErrorCode::ApiError, detail));
        }
        let usage = self.usage.map(|usage| Usage {
            prompt_tokens: usage.prompt_tokens.unwrap_or_default(),
            completion_tokens: usage.completion_tokens.unwrap_or_default(),
            cost: usage.cost.filter(|cost| cost.is_finite() && *cost >= 0.0),
        });
        Ok(Finish { status, usage, model: self.model, citations: Vec::new() })
    }
}

async fn refused(mut response: Response) -> SourceError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend(bytes.iter().take(MAX_ERROR_BYTES.saturating_sub(body.len())));
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    let described = serde_json::from_slice::<ErrorBody>(&body)
        .map_or_else(|_| "no readable explanation".to_owned(), |body| body.error.describe());
    // A complaint about the request itself may quote it, and with it what a visitor asked.
    let described = match status.as_u16() {
        400 | 422 => "its explanation may quote the prompt and is not logged".to_owned(),
        _ => described,
    };
    SourceError {
        failure: Failure { code: classify(status), retry_after },
        detail: format!("the model's server refused with {status}: {described}"),
        is_servers_fault: is_servers_fault(status),
    }
}

/// What the visitor is told for an HTTP status of the model's server.
fn classify(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        402 => ErrorCode::BudgetExceeded,
        408 | 504 | 524 => ErrorCode::ApiTimeout,
        429 | 503 | 529 => ErrorCode::Overloaded,
        _ => ErrorCode::ApiError,
    }
}

fn failed(code: ErrorCode, detail: impl Into<String>) -> SourceError {
    let is_servers_fault = code != ErrorCode::ContentRejected;
    SourceError { failure: code.into(), detail: detail.into(), is_servers_fault }
}

/// Whether another question would fare the same. What a visitor's own words bring about (a malformed request, content
/// that is refused, a prompt that is too long) must not keep the model from the others.
fn is_servers_fault(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 400 | 403 | 413 | 422)
}

fn silent(what: &str) -> SourceError {
    failed(ErrorCode::ApiTimeout, format!("the model's server fell silent: {what} in time"))
}

fn unreachable(error: &reqwest::Error) -> SourceError {
    let code = if error.is_timeout() { ErrorCode::ApiTimeout } else { ErrorCode::ApiError };
    failed(code, format!("the model's server cannot be reached: {}", causes(error)))
}

fn broken(error: &reqwest::Error) -> SourceError {
    failed(ErrorCode::ApiError, format!("the stream broke off: {}", causes(error)))
}

fn unreadable(error: super::sse::EventTooLarge) -> SourceError {
    failed(ErrorCode::ApiError, error.to_string())
}

fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
