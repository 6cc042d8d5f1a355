//! The elements of a script.

use std::time::Duration;

use serde_json::Value;

use crate::support::upstream::gate::Gate;

/// One step of a response stream.
#[derive(Clone, Debug)]
pub(crate) enum StreamStep {
    Delta(Value),
    Bytes(Vec<u8>),
    Comment,
    /// Comments without end, at this interval.
    EndlessComments(Duration),
    Wait(Duration),
    Hold(Gate),
    Error(Value),
    /// The body ends properly, but without finish reason, usage and `[DONE]`.
    End,
    /// Closes the connection within the body.
    Drop,
    /// Resets the connection within the body.
    Reset,
}

/// The forms in which OpenRouter sends the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageChunk {
    /// A chunk with `"choices": []`.
    EmptyChoices,
    /// A chunk that repeats the choice with its `finish_reason`.
    RepeatedChoice,
    /// `{"choices": [], "usage": {…}}` and no `id`.
    NoId,
    /// In the chunk with the `finish_reason`.
    WithFinishReason,
}

/// A complete response that is not a stream.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}
