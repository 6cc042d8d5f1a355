//! Reads the body of a request that carries client frames, one per line.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::error_response::{error, error_with_status};
use crate::domain::error_code::ErrorCode;
use crate::protocol::MAX_MESSAGE_BYTES;
use crate::protocol::event_stream::{MAX_BODY_BYTES, MAX_FRAMES_PER_REQUEST};

/// A body that is not a sequence of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// A frame, or all of them together, are too long, or there are too many.
    TooLarge,
    /// The text is not UTF-8.
    NotUtf8,
    /// The body did not arrive in time.
    Timeout,
    /// The connection was lost, or the body is not encoded correctly.
    Incomplete,
}

impl BodyError {
    /// Returns the response for the client.
    pub(super) fn response(self, request: &HttpRequest) -> HttpResponse {
        match self {
            Self::TooLarge => {
                let message = format!(
                    "A request has at most {MAX_FRAMES_PER_REQUEST} messages of {MAX_MESSAGE_BYTES} bytes, one per line."
                );
                error(request, ErrorCode::MessageTooLong, &message)
            }
            Self::NotUtf8 => error(request, ErrorCode::ValidationError, "The body is not UTF-8."),
            Self::Timeout => {
                let (status, code) = (StatusCode::REQUEST_TIMEOUT, ErrorCode::ValidationError);
                error_with_status(request, status, code, "The body did not arrive in time.", None)
            }
            Self::Incomplete => error(request, ErrorCode::ValidationError, "The body is incomplete."),
        }
    }
}

/// Reads the frames of a body, which must arrive within `timeout`.
pub(super) async fn read(
    body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    timeout: Duration,
) -> Result<Vec<String>, BodyError> {
    let body = tokio::time::timeout(timeout, collect(body)).await.map_err(|_| BodyError::Timeout)??;
    split(&body)
}

async fn collect(
    mut body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
) -> Result<BytesMut, BodyError> {
    let mut collected = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
        if collected.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected)
}

/// Splits a body into its lines. Empty lines are no frames.
fn split(body: &[u8]) -> Result<Vec<String>, BodyError> {
    let text = std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)?;
    let frames: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let is_too_large =
        frames.len() > MAX_FRAMES_PER_REQUEST || frames.iter().any(|frame| frame.len() > MAX_MESSAGE_BYTES);
    if is_too_large { Err(BodyError::TooLarge) } else { Ok(frames) }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn lines_are_frames_with_any_line_end() {
        let frames = split(b"\n{\"a\":1}\r\n  \n{\"b\":2}").unwrap();
        assert_eq!(frames, ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(split(b""), Ok(Vec::new()));
        assert_eq!(split(b"\xff"), Err(BodyError::NotUtf8));
    }

    #[test]
    fn largest_body_is_accepted_and_nothing_larger() {
        let frame = "x".repeat(MAX_MESSAGE_BYTES);
        let body = [frame.as_str(); MAX_FRAMES_PER_REQUEST].join("\r\n") + "\r\n";
        assert_eq!(body.len(), MAX_BODY_BYTES);
        assert_eq!(split(body.as_bytes()).map(|frames| frames.len()), Ok(MAX_FRAMES_PER_REQUEST));
        assert_eq!(split(format!("{frame}x").as_bytes()), Err(BodyError::TooLarge));
        assert_eq!(split("x\n".repeat(MAX_FRAMES_PER_REQUEST + 1).as_bytes()), Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn endless_body_is_refused_when_it_is_too_large() {
        let body = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 4096])));
        assert_eq!(read(body, TIMEOUT).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn body_must_arrive_in_time() {
        let body = stream::pending::<Result<Bytes, PayloadError>>();
        assert_eq!(read(body, TIMEOUT).await, Err(BodyError::Timeout));
    }
}
