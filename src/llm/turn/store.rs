//! The requests that turns send to the store.

use std::time::Duration;

use thiserror::Error;

use crate::domain::clock::Timestamp;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::stream::generation::Generation;
use crate::llm::stream::snapshot::AnswerSnapshot;
use crate::mailbox::{Address, AskError};
use crate::persistence::messages::{FindTurn, MarkInterrupted, SaveAnswer, SaveQuestion};
use crate::persistence::records::{AnswerRecord, StoredTurn, TurnKey};
use crate::persistence::{STORE_TIMEOUT, StorageError};

/// The mailboxes of the store that turns send to.
pub struct TurnStore {
    pub save_question: Address<SaveQuestion>,
    pub save_answer: Address<SaveAnswer>,
    pub find_turn: Address<FindTurn>,
    pub mark_interrupted: Address<MarkInterrupted>,
}

/// Why an answer is not known to be stored.
#[derive(Debug, Error)]
pub(crate) enum SaveError {
    /// The turn has ended or was deleted.
    #[error("the turn has ended or was deleted")]
    Gone,
    /// The store rejected the answer.
    #[error(transparent)]
    Rejected(StorageError),
    /// The store did not reply; it may still store the answer.
    #[error(transparent)]
    Unconfirmed(#[from] AskError),
}

impl TurnStore {
    /// Saves a question. If the store's actor panicked meanwhile, the write may have been lost and
    /// is sent again; a second write of the same question is harmless.
    pub(crate) async fn save_question(
        &self,
        question: impl Fn() -> SaveQuestion,
    ) -> Result<Result<(), StorageError>, AskError> {
        match self.save_question.ask(question(), STORE_TIMEOUT).await {
            Err(AskError::Closed) => self.save_question.ask(question(), STORE_TIMEOUT).await,
            reply => reply,
        }
    }

    /// Saves an answer and waits at most `timeout` for the reply.
    pub(crate) async fn save_answer(&self, record: AnswerRecord, timeout: Duration) -> Result<(), SaveError> {
        match self.save_answer.ask(SaveAnswer(record), timeout).await? {
            Ok(()) => Ok(()),
            Err(StorageError::Gone) => Err(SaveError::Gone),
            Err(error) => Err(SaveError::Rejected(error)),
        }
    }

    /// Reads the turn of a generation. Returns `None` if it does not exist.
    pub(crate) async fn find_turn(
        &self,
        generation: &Generation,
    ) -> Result<Result<Option<StoredTurn>, StorageError>, AskError> {
        let key = TurnKey::Turn(generation.turn_id);
        self.find_turn.ask(FindTurn { session_id: generation.session_id, key }, STORE_TIMEOUT).await
    }

    /// Marks a turn as interrupted, unless its owner has saved it again meanwhile.
    pub(crate) async fn mark_interrupted(&self, turn: &StoredTurn) -> Result<(), AskError> {
        let (turn_id, last_heartbeat) = (turn.turn_id, turn.last_heartbeat());
        let mark = MarkInterrupted { turn_id, at: Timestamp::now(), last_heartbeat };
        self.mark_interrupted.ask(mark, STORE_TIMEOUT).await.map(drop)
    }
}

/// Returns the record of an answer without usage, model, failure or settlement.
pub(crate) fn answer_record(
    generation: &Generation,
    snapshot: AnswerSnapshot,
    tokens: u32,
    status: TurnStatus,
) -> AnswerRecord {
    AnswerRecord {
        turn_id: generation.turn_id,
        answer: snapshot.text,
        delta_offsets: snapshot.offsets,
        tokens,
        status,
        mode: generation.mode(),
        model: None,
        usage: Usage::default(),
        citations: Vec::new(),
        failure: None,
        at: Timestamp::now(),
        settlement: None,
        pending_costs: Vec::new(),
    }
}
