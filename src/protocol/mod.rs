//! The WebSocket contract, version 1: frames in, frames out, codes; the wire and nothing else.
//!
//! [`client`] reads what clients send, [`server`] writes what they are told, [`codes`] is the one table of errors and
//! close codes. Nothing here knows of sockets, actors, clocks or stores.

pub mod client;
pub mod codes;
pub mod server;

/// The subprotocol a client may name in its handshake.
pub const SUBPROTOCOL: &str = "resume-chat.v1";

/// Longest inbound message in bytes, fragments included; a longer one closes the connection with 1009.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Longest question in Unicode scalar values.
pub const MAX_QUESTION_CHARS: usize = 2_000;

/// Longest `id` a client may give a question or a ping, in Unicode scalar values.
pub const MAX_CLIENT_ID_CHARS: usize = 64;

/// Most turns one `history` frame carries.
pub const MAX_HISTORY_LIMIT: usize = 100;

/// Malformed messages in a row after which the connection is closed with 4400.
pub const MAX_MALFORMED_IN_A_ROW: u8 = 10;
