//! How a question was accepted and how its answer ended.

use std::sync::Arc;

use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::turn::{TurnStatus, Usage};
use crate::persistence::records::StoredTurn;

/// Confirms that a question was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Whether the question is committed to the store.
    pub durable: bool,
}

/// How an answer ended. Subscribers receive it once the answer is stored, or once the store has
/// exceeded its timeout.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: TurnStatus,
    /// The reason, if the answer failed.
    pub failure: Option<Failure>,
    pub usage: Usage,
    /// The tokens of the answer by our own count, as stored.
    pub answer_tokens: u32,
    /// The model that answered, if one did.
    pub model: Option<Arc<str>>,
    /// The titles of the resume sections that were quoted.
    pub citations: Vec<String>,
    /// Whether the answer is committed to the store.
    pub durable: bool,
}

impl Outcome {
    /// Returns the outcome of an answer that is not stored, without failure, usage or model.
    #[must_use]
    pub fn new(status: TurnStatus, answer_tokens: u32) -> Self {
        Self {
            status,
            failure: None,
            usage: Usage::default(),
            answer_tokens,
            model: None,
            citations: Vec::new(),
            durable: false,
        }
    }

    /// Returns the outcome of an answer that was cut off for an unknown reason.
    #[must_use]
    pub fn interrupted(answer_tokens: u32) -> Self {
        Self::new(TurnStatus::Interrupted, answer_tokens)
    }

    /// Returns the outcome of an answer that failed because of an error of this server.
    #[must_use]
    pub fn internal_error(answer_tokens: u32) -> Self {
        let failure = Some(ErrorCode::InternalError.into());
        Self { failure, ..Self::new(TurnStatus::Failed, answer_tokens) }
    }

    /// Returns the outcome of a stored turn, or `None` if the turn has not ended.
    #[must_use]
    pub fn from_stored(turn: &StoredTurn) -> Option<Self> {
        if turn.status == TurnStatus::Answering {
            return None;
        }
        // Older versions did not store the error code of a failed answer.
        let is_failed = turn.status == TurnStatus::Failed;
        let failure = is_failed.then(|| turn.failure.unwrap_or(ErrorCode::ApiError).into());
        let answer = turn.answer.as_ref();
        Some(Self {
            status: turn.status,
            failure,
            usage: turn.usage,
            answer_tokens: answer.map_or(0, |answer| answer.tokens),
            model: turn.model.clone(),
            citations: answer.map_or_else(Vec::new, |answer| answer.citations.clone()),
            durable: true,
        })
    }
}
