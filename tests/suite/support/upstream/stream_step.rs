//! The parts that scripts are put together from.

use std::time::Duration;

use serde_json::Value;

use crate::support::upstream::gate::Gate;

/// One thing that the stream does.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Delta(Value),
    Bytes(Vec<u8>),
    Comment,
    /// Comments for ever, one each time this long has passed.
    CommentsForEver(Duration),
    Wait(Duration),
    Hold(Gate),
    Error(Value),
    /// The body ends as it should, but nothing that belongs at its end was said.
    End,
    /// The connection is closed in the middle of the body.
    Drop,
    /// The connection is reset in the middle of the body.
    Reset,
}

/// How the usage is sent: OpenRouter does all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageChunk {
    /// A chunk with `"choices": []`.
    EmptyChoices,
    /// A chunk that repeats the choice with its `finish_reason`.
    RepeatedChoice,
    /// `{"choices": [], "usage": {…}}` and no `id`.
    NoId,
    /// In the chunk that finishes.
    WithTheFinish,
}

/// A whole response that is no stream.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}
