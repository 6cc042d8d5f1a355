//! The client of an OpenAI-compatible server: one streamed request, and what became of it.
//!
//! `request` writes it, `answer` reads what comes back; [`key`] asks about the key. Nothing here asks twice; `asking` does.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::budget::Prices;
use crate::domain::clock::{DAY, Timestamp};
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;
use crate::llm::stream::generation::Generation;
use crate::llm::upstream::chunk::ErrorBody;
use crate::llm::upstream::completion::{Finish, SourceError};
use crate::llm::upstream::error_class::Fault;
use crate::llm::upstream::request::Request;
use crate::llm::upstream::response::Answer;
use crate::llm::upstream::sse::SseDecoder;
use crate::settings::LlmSettings;

/// How long to wait for what may follow the end of the text: usage, `[DONE]`. Several servers send neither.
const TRAILER_PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Longest `Retry-After` that is believed.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Talks to the model's server.
pub struct UpstreamClient {
    pub(super) http: Client,
    pub(super) base_url: String,
    pub(super) api_key: Option<SecretString>,
    model: String,
    fallback_models: Vec<String>,
    pub(super) openrouter: bool,
    idle_timeout: Duration,
    app_url: Option<String>,
    app_title: Option<String>,
    most_paid: Option<Prices>,
}

impl std::fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamClient").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// What is asked of a server at once.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The whole prompt.
    pub prompt: &'a Prompt,
    /// Whose it is.
    pub session: SessionId,
    /// Which of the models, below [`UpstreamClient::models`].
    pub model: usize,
    /// When the first word must be there.
    pub first_word_by: Instant,
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
            // Whoever else answers must not get the key, nor what was asked.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("resume-chatbot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base_url: settings.base_url.to_string(),
            api_key: settings.api_key.clone(),
            model: settings.model.clone(),
            fallback_models: settings.fallback_models.clone(),
            openrouter: settings.base_url.is_openrouter(),
            idle_timeout: settings.idle_timeout,
            app_url: settings.app_url.clone(),
            app_title: settings.app_title.clone(),
            most_paid: None,
        })
    }

    /// The same, asking only providers that charge no more than this, where the server has a choice of them.
    #[must_use]
    pub fn paying_at_most(self, prices: Option<Prices>) -> Self {
        Self { most_paid: prices, ..self }
    }

    /// How many models are to be asked one after the other. OpenRouter falls back by itself.
    #[must_use]
    pub fn models(&self) -> usize {
        if self.openrouter { 1 } else { 1 + self.fallback_models.len() }
    }

    /// Streams the answer into `generation`, and calls `on_word` when its first word is there.
    ///
    /// Two watchdogs run: one for words (the first, then each further one; keep-alive comments do not wind it), and one
    /// for bytes, which tells a dead connection from a server that is busy. There is no total, so a long healthy answer
    /// is never cut.
    ///
    /// # Errors
    /// [`SourceError`] when the server refuses, fails, falls silent or sends what cannot be read.
    pub async fn answer(
        &self,
        ask: Ask<'_>,
        generation: &Generation,
        on_word: &dyn Fn(),
    ) -> Result<Finish, SourceError> {
        let reply = timeout_at(ask.first_word_by, self.request(ask)).await;
        let response = reply.map_err(|_| silent("no reply in time"))??;
        if let Some(id) = response.headers().get("x-generation-id").and_then(|id| id.to_str().ok()) {
            generation.note_source_id(id);
        }
        let mut finish = self.read(response, ask.first_word_by, generation, on_word).await?;
        // A server that does not say has nobody to fall back on.
        finish.model.get_or_insert_with(|| self.model(ask.model).into());
        Ok(finish)
    }

    /// The name of a model by its number.
    fn model(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|it| self.fallback_models.get(it)).unwrap_or(&self.model)
    }

    async fn request(&self, ask: Ask<'_>) -> Result<Response, SourceError> {
        let Ask { prompt, session, model, .. } = ask;
        let model = self.model(model);
        let body = if self.openrouter {
            serde_json::to_vec(&Request::openrouter(
                model,
                &self.fallback_models,
                prompt,
                session,
                self.most_paid,
            ))
        } else {
            serde_json::to_vec(&Request::plain(model, prompt))
        };
        let unwritten =
            |error| SourceError::new(Fault::BadRequest, format!("the prompt cannot be written: {error}"));
        let mut request = self
            .http
            .post(format!("{}/chat/completions", self.base_url))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body.map_err(unwritten)?);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        if self.openrouter {
            for (name, value) in [("HTTP-Referer", &self.app_url), ("X-OpenRouter-Title", &self.app_title)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_success() && is_stream(response.headers()) {
            Ok(response)
        } else {
            Err(refused(response).await)
        }
    }

    async fn read(
        &self,
        mut response: Response,
        first_word_by: Instant,
        generation: &Generation,
        on_word: &dyn Fn(),
    ) -> Result<Finish, SourceError> {
        let mut decoder = SseDecoder::default();
        let mut answer = Answer::default();
        let mut next_by = first_word_by;
        let mut trailing_until = None;
        let mut heard_at = Instant::now();
        while !answer.done {
            let bytes = match timeout_at(next_by, response.chunk()).await {
                Ok(Ok(bytes)) => bytes,
                Err(_) | Ok(Err(_)) if answer.is_finished() => break,
                Err(_) => return Err(no_word(answer.begun, heard_at.elapsed() < self.idle_timeout)),
                Ok(Err(error)) => {
                    let detail = format!("the stream broke off: {}", causes(&error));
                    return Err(SourceError::new(Fault::BrokeOff, detail).at_work());
                }
            };
            let begun = answer.begun;
            let Some(bytes) = bytes else {
                decoder.finish(|data| answer.take(data, generation)).map_err(unreadable)?;
                break;
            };
            heard_at = Instant::now();
            answer.progressed = false;
            decoder.feed(&bytes, |data| answer.take(data, generation)).map_err(unreadable)?;
            if answer.begun && !begun {
                on_word();
            }
            if answer.is_finished() {
                // Set once: what comes now may be comments without end.
                let trailer_by = heard_at + TRAILER_PATIENCE.min(self.idle_timeout);
                next_by = *trailing_until.get_or_insert(trailer_by);
            } else if answer.progressed {
                // A model that thinks aloud is at work, and yet its first word is due when it is due.
                let further_by = heard_at + self.idle_timeout;
                next_by = if answer.begun { further_by } else { next_by.max(further_by) };
            }
        }
        answer.into_finish()
    }
}

/// Whether a body is what was asked for. Servers that name no type, or a wrong one, are given the benefit of the doubt; a
/// page for people is none, and compression was not asked for, nor will it be unpacked.
fn is_stream(headers: &HeaderMap) -> bool {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = said(CONTENT_TYPE).to_ascii_lowercase();
    let packed = said(CONTENT_ENCODING);
    (packed.is_empty() || packed.eq_ignore_ascii_case("identity"))
        && !kind.starts_with("text/html")
        && !kind.starts_with("application/json")
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
    let error = serde_json::from_slice::<ErrorBody>(&body).ok();
    let error = error.filter(|body| body.is_explicit || !status.is_success()).map(|body| body.error);
    if let (true, None) = (status.is_success(), &error) {
        let said = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kind: String =
            said(CONTENT_ENCODING).or(said(CONTENT_TYPE)).unwrap_or("?").chars().take(40).collect();
        let detail = format!("the model's server sent no stream of events, but {kind}");
        return SourceError::new(Fault::NoStream, detail);
    }
    let fault = Fault::of(failing(status), error.as_ref());
    let (wish, says_again) = match &error {
        Some(error) => (error.retry_after().map(|it| it.min(MAX_RETRY_AFTER)), error.retryable),
        None => (None, None),
    };
    let retry_after = match fault {
        // It begins with the day in UTC.
        Fault::DayIsSpent => Some(DAY.saturating_sub(Timestamp::now().time_of_day())),
        _ => retry_after.or(wish),
    };
    let status = status.as_u16();
    let detail = match fault {
        Fault::Redirected => {
            format!("the model's server points elsewhere ({status}), where the key is not sent")
        }
        _ => format!("the model's server refused with {status}: {}", fault.describe(error.as_ref())),
    };
    SourceError::new(fault, detail).wishing(retry_after, says_again)
}

/// An error within a success has no status but its own.
fn failing(status: StatusCode) -> Option<u16> {
    (!status.is_success()).then_some(status.as_u16())
}

fn silent(what: &str) -> SourceError {
    SourceError::new(Fault::TimedOut, format!("the model's server fell silent: {what}"))
}

fn no_word(begun: bool, alive: bool) -> SourceError {
    let word = if begun { "no further word" } else { "no first word" };
    let life = if alive { "though it kept the connection alive" } else { "and no byte" };
    silent(&format!("{word} in time, {life}")).at_work()
}

fn unreachable(error: &reqwest::Error) -> SourceError {
    let fault = if error.is_timeout() { Fault::TimedOut } else { Fault::Unreachable };
    SourceError::new(fault, format!("the model's server cannot be reached: {}", causes(error)))
}

fn unreadable(error: crate::llm::upstream::sse::EventTooLarge) -> SourceError {
    SourceError::new(Fault::BrokeOff, error.to_string()).at_work()
}

pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
