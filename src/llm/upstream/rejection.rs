//! Requests that failed, as errors: rejected responses, timeouts, connection errors.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::domain::clock::{DAY, Timestamp};
use crate::llm::upstream::completion::CompletionError;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::streaming::chunk::{ErrorBody, UpstreamError};
use crate::llm::upstream::streaming::sse::EventTooLarge;

/// The maximum number of bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// The maximum wait that is accepted from a server, in `Retry-After` or in an error's body.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The maximum number of characters of a content type in an error.
const MAX_CONTENT_TYPE_CHARS: usize = 40;

/// Returns whether a response may be an event stream. A missing or wrong content type is tolerated,
/// but an HTML page or a JSON document is no stream, and compressed bodies are not supported.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = header(headers, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let encoding = header(headers, CONTENT_ENCODING).unwrap_or_default();
    (encoding.is_empty() || encoding.eq_ignore_ascii_case("identity"))
        && !content_type.starts_with("text/html")
        && !content_type.starts_with("application/json")
}

/// Returns the error of a response that is no event stream.
pub(crate) async fn rejected(mut response: Response) -> CompletionError {
    let status = response.status();
    let retry_after = header(response.headers(), RETRY_AFTER)
        .and_then(|value| value.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    let body = read_error_body(&mut response).await;
    let body = serde_json::from_slice::<ErrorBody>(&body).ok();
    let error = body.filter(|body| body.is_explicit || !status.is_success()).map(|body| body.error);
    match error {
        None if status.is_success() => not_a_stream(response.headers()),
        error => error_status(status, retry_after, error.as_ref()),
    }
}

async fn read_error_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend(bytes.iter().take(MAX_ERROR_BYTES.saturating_sub(body.len())));
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    body
}

fn not_a_stream(headers: &HeaderMap) -> CompletionError {
    let format = header(headers, CONTENT_ENCODING).or(header(headers, CONTENT_TYPE)).unwrap_or("?");
    let format: String = format.chars().take(MAX_CONTENT_TYPE_CHARS).collect();
    let detail = format!("the model server sent no event stream, but {format}");
    CompletionError::new(UpstreamErrorKind::NotAStream, detail)
}

fn error_status(
    status: StatusCode,
    header_retry_after: Option<Duration>,
    error: Option<&UpstreamError>,
) -> CompletionError {
    // A successful status is ignored if the body contains an error.
    let failed_status = (!status.is_success()).then_some(status.as_u16());
    let kind = UpstreamErrorKind::classify(failed_status, error);
    let body_retry_after = error.and_then(UpstreamError::retry_after).map(|delay| delay.min(MAX_RETRY_AFTER));
    let retry_after = match kind {
        // The daily quota is reset at midnight (UTC).
        UpstreamErrorKind::DailyQuotaExhausted => Some(DAY.saturating_sub(Timestamp::now().time_of_day())),
        _ => header_retry_after.or(body_retry_after),
    };
    let status = status.as_u16();
    let detail = match kind {
        UpstreamErrorKind::Redirected => {
            format!("the model server redirects elsewhere ({status}), where the key is not sent")
        }
        _ => format!("the model server refused with {status}: {}", kind.describe(error)),
    };
    CompletionError::new(kind, detail).with_retry_advice(retry_after, error.and_then(|error| error.retryable))
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

/// Returns the error of a response that cannot be decoded.
pub(crate) fn undecodable(error: EventTooLarge) -> CompletionError {
    CompletionError::new(UpstreamErrorKind::Interrupted, error.to_string()).after_start()
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
