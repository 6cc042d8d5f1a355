//! What the [`LlmActor`](super::LlmActor) is asked.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use slog::Logger;

use crate::domain::clock::Timestamp;
use crate::domain::failure::Failure;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::AnswerMode;
use crate::limits::AddressKey;
use crate::llm::prompt::Prompt;
use crate::llm::resilience::circuit_breaker::BreakerState;
use crate::llm::stream::generation::Generation;
use crate::llm::upstream::api_key::{KeyError, KeyReport};
use crate::persistence::records::StoredTurn;

/// Answer a question. The reply comes at once; acceptance, answer and end are read from the generation.
#[derive(Message)]
#[rtype(result = "Result<Arc<Generation>, Failure>")]
pub struct AskModel {
    /// The new turn.
    pub turn_id: TurnId,
    /// Whose turn it is in the line to the model.
    pub visitor: AddressKey,
    /// Who asks.
    pub session_id: SessionId,
    /// The asking connection's place in the succession of the session's connections.
    pub epoch: i64,
    /// The client's own id of the question.
    pub client_id: Option<String>,
    /// Tokens of the question.
    pub question_tokens: u32,
    /// The whole prompt, the question last.
    pub prompt: Prompt,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The turn whose answer the new one takes the place of.
    pub regenerates: Option<TurnId>,
    /// The log of the turn.
    pub log: Logger,
}

/// Find the answer of a turn that is being given or has just ended.
#[derive(Message)]
#[rtype(result = "Option<Arc<Generation>>")]
pub struct FindGeneration {
    /// Whose turn it must be.
    pub session_id: SessionId,
    /// The turn.
    pub turn_id: TurnId,
}

/// Follow the answer to a turn that another server gives, as it appears in the store. The reply comes at once.
#[derive(Message)]
#[rtype(result = "Arc<Generation>")]
pub struct FollowElsewhere {
    /// Whose turn it is.
    pub session_id: SessionId,
    /// The turn as it is stored now.
    pub turn: StoredTurn,
    /// The log of the turn.
    pub log: Logger,
}

/// Say how you are; the reply proves that the actor takes messages.
#[derive(Message)]
#[rtype(result = "ModelCondition")]
pub struct CheckModel;

/// How the actor is.
#[derive(Clone, Debug)]
pub struct ModelCondition {
    /// Answers being given.
    pub answering: usize,
    /// Questions waiting for their turn.
    pub waiting: usize,
    /// Who would answer now.
    pub mode: AnswerMode,
    /// The breaker of the model's server, and the failures in a row; `None` where no model answers.
    pub breaker: Option<(BreakerState, u32)>,
    /// What the model's server last said of the key; `None` where it says nothing of keys.
    pub key: Option<Result<KeyReport, KeyError>>,
    /// How long the newest answer of the model took to its first word; `None` when there was none yet.
    pub first_word: Option<Duration>,
}

/// Take no more questions; let the answers end within `within`, then end them as interrupted. The reply comes when
/// every answer is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FinishAnswers {
    /// How long answers may still take.
    pub within: Duration,
}
