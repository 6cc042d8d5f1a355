//! Requests that failed, as errors: rejected responses, timeouts, connection errors.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode};

use crate::domain::clock::{DAY, Timestamp};
use crate::llm::prompt::Prompt;
use crate::llm::upstream::completion::CompletionError;
use crate::llm::upstream::error_body::UpstreamError;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::explanation;
use crate::llm::upstream::retry_after;
use crate::llm::upstream::streaming::body::{BodyDecoder, BodyError};
use crate::llm::upstream::streaming::framing::FramingError;

/// The maximum number of bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// How long the rest of an error's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of characters of a content type in an error.
const MAX_CONTENT_TYPE_CHARS: usize = 40;

/// A response with a status other than success.
pub(crate) struct Rejection {
    status: StatusCode,
    retry_after: Option<Duration>,
    /// The error in the body, if it has a readable one.
    error: Option<UpstreamError>,
}

impl Rejection {
    /// Reads a rejected response.
    pub(crate) async fn read(mut response: Response) -> Self {
        let status = response.status();
        let retry_after = retry_after::from_headers(response.headers(), Timestamp::now());
        let reading = tokio::time::timeout(BODY_TIMEOUT, read_error_body(&mut response));
        let body = reading.await.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        // A page of HTML explains nothing that the status does not.
        let is_explanation = !text.trim().is_empty() && !text.trim_start().starts_with('<');
        Self { status, retry_after, error: is_explanation.then(|| UpstreamError::from_text(&text)) }
    }

    /// Returns the error if it may be about the form of the request.
    pub(crate) fn refused_form(&self) -> Option<&UpstreamError> {
        use UpstreamErrorKind as Kind;
        let kind = UpstreamErrorKind::classify(Some(self.status.as_u16()), self.error.as_ref());
        let may_be =
            matches!(kind, Kind::BadRequest | Kind::ServerError | Kind::UnknownModel | Kind::Forbidden);
        self.error.as_ref().filter(|_| may_be)
    }

    /// Returns the error of the response. `prompt` is what the server may quote.
    pub(crate) fn into_error(self, prompt: &Prompt) -> CompletionError {
        let Self { status, retry_after, error } = self;
        let status = status.as_u16();
        let kind = UpstreamErrorKind::classify(Some(status), error.as_ref());
        let detail = match kind {
            UpstreamErrorKind::Redirected => {
                format!("the model server redirects elsewhere ({status}), where the key is not sent")
            }
            _ => format!("the model server refused with {status}: {}", describe(error.as_ref(), prompt)),
        };
        // A reset in the headers of every response says nothing about a refusal that is final.
        let retry_after = retry_after.filter(|_| matches!(status, 408 | 409 | 413 | 425 | 429 | 500..));
        failure(kind, detail, retry_after, error.as_ref(), Some(status))
    }
}

/// Returns the error of a response that failed although its status is success: within its stream,
/// or with a document instead of a stream.
pub(crate) fn failed_in_stream(error: &UpstreamError, is_document: bool, prompt: &Prompt) -> CompletionError {
    let kind = UpstreamErrorKind::classify(None, Some(error));
    let place = if is_document { "refused with 200" } else { "failed within the stream" };
    let detail = format!("the model server {place}: {}", describe(Some(error), prompt));
    failure(kind, detail, None, Some(error), None)
}

fn failure(
    kind: UpstreamErrorKind,
    detail: String,
    header_retry_after: Option<Duration>,
    error: Option<&UpstreamError>,
    status: Option<u16>,
) -> CompletionError {
    let retry_after = match kind {
        // The daily quota is reset at midnight (UTC), unless the server names an earlier time.
        UpstreamErrorKind::DailyQuotaExhausted => error
            .and_then(|error| error.retry_after)
            .filter(|wait| *wait < retry_after::MAX_RETRY_AFTER)
            .or(Some(DAY.saturating_sub(Timestamp::now().time_of_day()))),
        _ => header_retry_after.or(error.and_then(|error| error.retry_after)),
    };
    let identity = error.and_then(UpstreamError::identity).or(status.map(|status| status.to_string()));
    let retryable = error.and_then(|error| error.retryable);
    let failed = CompletionError::new(kind, detail).with_retry_advice(retry_after, retryable);
    CompletionError { identity: identity.map(Into::into), ..failed }
}

/// Describes an error for the operator: its code, its parameter, and its explanation without the
/// visitor's words.
fn describe(error: Option<&UpstreamError>, prompt: &Prompt) -> String {
    let Some(error) = error else { return "no readable explanation".to_owned() };
    let code = error.code.as_ref().map(|code| match code.parse::<f64>() {
        Ok(_) => format!("code {code}: "),
        Err(_) => format!("code {code:?}: "),
    });
    let param = error.param.as_ref().map(|param| format!("param {param:?}: "));
    let explanation = error.message.as_deref().map(|message| explanation::without_prompt(message, prompt));
    let explanation = explanation.filter(|explanation| !explanation.is_empty());
    format!(
        "{}{}{}",
        code.unwrap_or_default(),
        param.unwrap_or_default(),
        explanation.as_deref().unwrap_or("no message")
    )
}

async fn read_error_body(response: &mut Response) -> Vec<u8> {
    let Ok(mut decoder) = BodyDecoder::new(header(response.headers(), CONTENT_ENCODING)) else {
        return Vec::new();
    };
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        let decoded = decoder.decode(&bytes, |bytes| {
            body.extend(bytes.iter().take(MAX_ERROR_BYTES.saturating_sub(body.len())));
            Ok::<_, BodyError>(())
        });
        if decoded.is_err() || body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    body
}

/// Returns whether a response says that it is an event stream.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"))
}

/// Returns whether a response says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"))
}

/// Returns the error of a response that is neither a stream nor a document.
pub(crate) fn not_a_stream(headers: &HeaderMap) -> CompletionError {
    let encoding =
        header(headers, CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let format = encoding.or(header(headers, CONTENT_TYPE)).unwrap_or("an unknown format");
    let format: String = format.chars().take(MAX_CONTENT_TYPE_CHARS).collect();
    let detail = format!("the model server sent no event stream, but {format}");
    CompletionError::new(UpstreamErrorKind::NotAStream, detail)
}

/// Returns the error of a request that received no response in time.
pub(crate) fn no_response() -> CompletionError {
    timed_out("no reply in time")
}

/// A response whose next text did not arrive in time.
pub(crate) struct TextTimeout {
    /// Whether earlier text has arrived.
    pub(crate) has_text: bool,
    /// Whether other bytes, such as keep-alive comments, have arrived meanwhile.
    pub(crate) is_connection_alive: bool,
}

/// Returns the error of a response whose next text did not arrive in time.
pub(crate) fn no_text(timeout: TextTimeout) -> CompletionError {
    let TextTimeout { has_text, is_connection_alive } = timeout;
    let word = if has_text { "no further word" } else { "no first word" };
    let connection = if is_connection_alive { "though it kept the connection alive" } else { "and no byte" };
    timed_out(&format!("{word} in time, {connection}")).after_start()
}

fn timed_out(what: &str) -> CompletionError {
    CompletionError::new(UpstreamErrorKind::TimedOut, format!("the model server timed out: {what}"))
}

/// Returns the error of a request that could not be sent.
pub(crate) fn unreachable(error: &reqwest::Error) -> CompletionError {
    let kind = match error.is_timeout() {
        true => UpstreamErrorKind::TimedOut,
        false => UpstreamErrorKind::Unreachable,
    };
    CompletionError::new(kind, format!("the model server cannot be reached: {}", error_chain(error)))
}

/// Returns the error of a response whose connection failed.
pub(crate) fn interrupted(error: &reqwest::Error) -> CompletionError {
    let detail = format!("the stream broke off: {}", error_chain(error));
    CompletionError::new(UpstreamErrorKind::Interrupted, detail).after_start()
}

/// Why the bytes of a response cannot be decoded.
pub(crate) enum DecodeError {
    Body(BodyError),
    Framing(FramingError),
}

impl From<BodyError> for DecodeError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<FramingError> for DecodeError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

/// Returns the error of a response that cannot be decoded.
pub(crate) fn undecodable(error: &DecodeError, headers: &HeaderMap) -> CompletionError {
    match error {
        DecodeError::Framing(FramingError::Html) | DecodeError::Body(BodyError::Unsupported) => {
            not_a_stream(headers)
        }
        DecodeError::Framing(error @ FramingError::TooLarge) => {
            CompletionError::new(UpstreamErrorKind::Interrupted, error.to_string()).after_start()
        }
        DecodeError::Body(error) => {
            CompletionError::new(UpstreamErrorKind::Interrupted, error.to_string()).after_start()
        }
    }
}

/// Formats an error with its causes.
pub(crate) fn error_chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
