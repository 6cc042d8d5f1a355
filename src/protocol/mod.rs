//! The WebSocket contract, version 1: frames in, frames out, codes; the wire and nothing else.
//!
//! [`client`] reads what clients send, [`server`] writes what they are told, [`codes`] is the one table of errors and
//! [`close_codes`] that of close codes. Nothing here knows of sockets, actors, clocks or stores.

pub mod client;
pub mod close_codes;
#[cfg(test)]
mod docs_sync_test;
pub mod error_codes;
pub mod server;

/// The subprotocol a client may name in its handshake.
pub const SUBPROTOCOL: &str = "resume-chat.v1";

/// Longest inbound message in bytes, fragments included; a longer one closes the connection with 1009.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Longest question in Unicode scalar values.
pub const MAX_QUESTION_CHARS: usize = 2_000;

/// Longest `id` a client may give a question or a ping, in Unicode scalar values.
pub const MAX_CLIENT_ID_CHARS: usize = 64;

/// Longest comment of a visitor on an answer, in Unicode scalar values.
pub const MAX_COMMENT_CHARS: usize = 500;

/// Most turns one `history` frame carries.
pub const MAX_HISTORY_LIMIT: usize = 100;

/// Malformed messages in a row after which the connection is closed with 4400.
pub const MAX_MALFORMED_IN_A_ROW: u8 = 10;

/// The variants of an enum by the names it has on the wire, as its schema lists them.
#[cfg(test)]
fn variants<T: utoipa::PartialSchema>() -> Vec<String> {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let names = schema["enum"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}
