//! The messages of the [`LlmActor`](super::LlmActor).

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
use crate::llm::resilience::circuit_breaker::BreakerStatus;
use crate::llm::resilience::concurrency_limit::Occupancy;
use crate::llm::stream::generation::Generation;
use crate::llm::upstream::account::api_key::{KeyError, KeyReport};
use crate::llm::upstream::server::state::ServerStatus;
use crate::persistence::records::StoredTurn;

/// Starts an answer to a question. The actor replies at once; acceptance, text and outcome are read
/// from the generation.
#[derive(Message)]
#[rtype(result = "Result<Arc<Generation>, Failure>")]
pub struct GenerateAnswer {
    /// The id of the new turn.
    pub turn_id: TurnId,
    /// The client address. The queue serves addresses in turn, and the budget counts per address.
    pub address: AddressKey,
    pub session_id: SessionId,
    /// The epoch of the session's connection. The store refuses questions of superseded
    /// connections.
    pub epoch: i64,
    /// The client's own id of the question.
    pub client_id: Option<String>,
    pub question_tokens: u32,
    /// The whole prompt, the question last.
    pub prompt: Prompt,
    pub asked_at: Timestamp,
    /// The turn whose answer the new one replaces.
    pub regenerates: Option<TurnId>,
    /// The log of the turn.
    pub log: Logger,
}

/// Finds the answer of a turn that is in progress or has just ended.
#[derive(Message)]
#[rtype(result = "Option<Arc<Generation>>")]
pub struct FindGeneration {
    /// The session that the turn must belong to.
    pub session_id: SessionId,
    pub turn_id: TurnId,
}

/// Follows the answer of a turn that another instance generates, as it appears in the store. The
/// actor replies at once.
#[derive(Message)]
#[rtype(result = "Arc<Generation>")]
pub struct FollowRemoteTurn {
    pub session_id: SessionId,
    /// The turn as it is stored now.
    pub turn: StoredTurn,
    /// The log of the turn.
    pub log: Logger,
}

/// Asks for the actor's status. The reply proves that the actor processes messages.
#[derive(Message)]
#[rtype(result = "ModelStatus")]
pub struct CheckModel;

/// The status of the actor and of the model server.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// How many questions are being answered and how many wait.
    pub occupancy: Occupancy,
    /// What would produce the answer to a question now.
    pub mode: AnswerMode,
    /// The circuit breaker; `None` if there is no model.
    pub breaker: Option<BreakerStatus>,
    /// The newest report about the API key; `None` if upstream has no such report.
    pub key: Option<Result<KeyReport, KeyError>>,
    /// What is known of the model server; `None` if there is no model.
    pub server: Option<ServerStatus>,
    /// The time to the first text of the newest answer of the model; `None` before the first
    /// answer.
    pub time_to_first_text: Option<Duration>,
}

/// Stops accepting questions, waits for the answers in progress, and ends those that take longer
/// than `within` as interrupted. The actor replies when every answer is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FinishAnswers {
    /// How long answers may still take.
    pub within: Duration,
}
