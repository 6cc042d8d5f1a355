//! The chat protocol, version 1: client frames, server frames, error codes, close codes, and their
//! form as server-sent events.
//!
//! This module only describes the wire: it parses and serializes frames and maps domain values to
//! them. It contains no sockets, actors, clocks or stores.

pub mod client;
pub mod close_codes;
#[cfg(test)]
mod docs_sync_test;
pub mod error_codes;
pub mod event_stream;
pub mod server;

/// The WebSocket subprotocol that a client may request.
pub const SUBPROTOCOL: &str = "resume-chat.v1";

/// The maximum size of a client message in bytes, including all fragments. A larger one closes the
/// connection with 1009.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// The maximum length of a question in Unicode scalar values.
pub const MAX_QUESTION_CHARS: usize = 2_000;

/// The maximum length of an `id` that a client chooses, in Unicode scalar values.
pub const MAX_CLIENT_ID_CHARS: usize = 64;

/// The maximum length of a comment on an answer, in Unicode scalar values.
pub const MAX_COMMENT_CHARS: usize = 500;

/// The maximum number of turns in one `history` frame.
pub const MAX_HISTORY_LIMIT: usize = 100;

/// The number of consecutive malformed messages that closes the connection with 4400.
pub const MAX_MALFORMED_IN_A_ROW: u8 = 10;

/// Returns the names of the variants of an enum on the wire, as its schema lists them.
#[cfg(test)]
fn schema_names<T: utoipa::PartialSchema>() -> Vec<String> {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let names = schema["enum"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}
