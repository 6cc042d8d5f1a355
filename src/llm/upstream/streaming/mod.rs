//! Decoding of a streamed response: events, the JSON in them, and the text they add to the answer.

pub mod chunk;
pub mod response;
pub mod sink;
pub mod sse;
