//! Completes the responses that the HTTP library writes before a request reaches the application:
//! 400, 408 and 431. Without this, they would have no security headers, no request id and no body.

use std::sync::Arc;

use memchr::memmem;

use super::middleware::response_headers::ResponseHeaders;
use crate::domain::error_code::ErrorCode;
use crate::protocol::server::ErrorFrame;
use crate::telemetry::request_id::{HEADER, accept_or_generate};

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// The maximum length of a head that the library writes itself: a status, a length, a connection
/// type and a date.
const MAX_LENGTH: usize = 256;

/// The start of a head, up to the minor version, which is that of the latest request.
const START: &[u8] = b"HTTP/1.";

/// The statuses that the library sends itself, with the code and the message for the client.
const STATUSES: [(&[u8], ErrorCode, &str); 4] = [
    (b" 400 ", ErrorCode::ValidationError, "The request is not valid HTTP."),
    (b" 408 ", ErrorCode::ValidationError, "The request did not arrive in time."),
    (b" 431 ", ErrorCode::ValidationError, "The head of the request is too long."),
    (b" 500 ", ErrorCode::InternalError, "Something went wrong on the server. Please try again."),
];

/// Returns where the head of such a response starts, if the bytes end with one. The library sends
/// it last and closes the connection.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(END) {
        return None;
    }
    let tail_start = bytes.len().saturating_sub(MAX_LENGTH);
    let tail = bytes.get(tail_start..)?;
    let start = memmem::rfind(tail, START)?;
    let head = tail.get(start..)?;
    let has_status = error_of(head).is_some();
    let is_empty = memmem::find(head, b"\r\ncontent-length: 0\r\n").is_some();
    // The application adds a request id to each of its responses.
    let is_of_application = memmem::find(head, HEADER.as_bytes()).is_some();
    let is_one_head = memmem::find(head, END) == Some(head.len() - END.len());
    (has_status && is_empty && is_one_head && !is_of_application).then_some(tail_start + start)
}

/// Returns the code and the message for the status of a head.
fn error_of(head: &[u8]) -> Option<(ErrorCode, &'static str)> {
    let status = head.get(START.len() + 1..)?;
    let row = STATUSES.iter().find(|(line, ..)| status.starts_with(line));
    row.map(|(_, code, message)| (*code, *message))
}

/// Returns the complete response for a head that [`find`] has found.
pub(super) fn complete(head: &[u8], headers: &ResponseHeaders) -> Vec<u8> {
    let (code, message) = error_of(head).unwrap_or((ErrorCode::ValidationError, ""));
    let request_id = accept_or_generate(None);
    let frame = ErrorFrame { message: message.to_owned(), ..ErrorFrame::new(code, Arc::clone(&request_id)) };
    let body = serde_json::to_string(&frame).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let kept = head.trim_end().split("\r\n").filter(|line| !line.starts_with("content-length:"));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let lines = headers.lines();
    format!(
        "{kept}content-length: {length}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         {HEADER}: {request_id}\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Purpose, Settings};

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
         connection: close\r\ndate: Mon, 23 Nov 2026 21:45:08 GMT\r\n\r\n";

    #[test]
    fn only_a_bare_head_at_the_end_is_found() {
        let earlier = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: 1\r\n\r\nok";
        assert_eq!(find(BARE.as_bytes()), Some(0));
        assert_eq!(find(BARE.replace("HTTP/1.1", "HTTP/1.0").as_bytes()), Some(0));
        assert_eq!(find(format!("{earlier}{BARE}").as_bytes()), Some(earlier.len()));
        for other in [
            String::new(),
            "\r\n\r\n".to_owned(),
            earlier.to_owned(),
            format!("{BARE}x"),
            BARE.replace("431", "200"),
            BARE.replace("connection", "x-request-id: 1\r\nconnection"),
            BARE.replace("content-length: 0", "content-length: 4") + "\r\n\r\n",
            BARE.replace("\r\nconnection", "\r\n\r\nconnection"),
        ] {
            assert_eq!(find(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn completed_response_has_the_common_headers_and_an_error_as_body() {
        let settings = Settings::load(&Purpose::Probe, None, []).unwrap().settings.http;
        let completed = complete(BARE.as_bytes(), &ResponseHeaders::new(&settings));
        let completed = String::from_utf8(completed).unwrap();
        let (head, body) = completed.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        for line in [
            &format!("content-length: {}", body.len()),
            "connection: close",
            "x-content-type-options: nosniff",
        ] {
            assert_eq!(head.split("\r\n").filter(|other| *other == line).count(), 1, "{line} in {head}");
        }
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["code"], "VALIDATION_ERROR");
        assert!(head.contains(&format!("x-request-id: {}", error["request_id"].as_str().unwrap())), "{head}");
    }
}
