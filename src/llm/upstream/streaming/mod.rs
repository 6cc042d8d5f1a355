//! Decoding of a streamed response: frames, the JSON in them, and the text they add to the answer.
//!
//! | module | contents |
//! |---|---|
//! | [`body`] | the encoding of the body |
//! | [`framing`] | which bytes are a message |
//! | [`chunk`] | the fields of a message |
//! | [`finish_reason`], [`usage`] | two of them, in the spelling of each server |
//! | [`surrogates`] | characters in two halves |
//! | [`thinking_tags`] | thinking within the text |
//! | [`ignored`] | the fields that were odd |
//! | [`response`] | the state of a response, and how it ended |
//! | [`sink`] | where the text goes |

pub mod body;
pub mod chunk;
pub mod finish_reason;
pub mod framing;
pub mod ignored;
pub mod response;
pub mod sink;
pub mod surrogates;
pub mod thinking_tags;
pub mod usage;

#[cfg(test)]
mod tests;
