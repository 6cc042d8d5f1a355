//! The requests to the [`PersistenceActor`](super::PersistenceActor).

use std::sync::Arc;
use std::time::Duration;

use actix::Message;

use crate::budget::{Account, Amount};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TokenHash, TurnId};
use crate::domain::turn::Rating;
use crate::persistence::error::StorageError;
use crate::persistence::records::{
    AnswerRecord, BudgetReservation, PendingCostUpdate, PendingCosts, StoredSession, StoredTurn,
    TranscriptPage, TurnKey,
};

/// Stores a new session with epoch 0.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct CreateSession {
    pub session_id: SessionId,
    /// The hash of the resume token.
    pub token_hash: TokenHash,
    pub at: Timestamp,
}

/// Takes a session over: increments its epoch and reads what the new connection needs.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Resumption, StorageError>")]
pub struct ResumeSession {
    pub session_id: SessionId,
    /// The hash of the given resume token.
    pub token_hash: TokenHash,
    pub at: Timestamp,
    /// The lifetime of a session after it was last seen.
    pub ttl: Duration,
}

/// Sessions with their epochs.
pub type Epochs = Vec<(SessionId, i64)>;

/// Reads the epochs of sessions. Sessions that are not stored are omitted.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Epochs, StorageError>")]
pub struct FindEpochs {
    /// At most some hundreds.
    pub sessions: Vec<SessionId>,
}

/// The result of [`ResumeSession`].
#[derive(Debug)]
pub enum Resumption {
    /// The session belongs to the new connection.
    Resumed(StoredSession),
    /// There is no session with this id and token.
    NotFound,
    /// The session was last seen too long ago.
    Expired,
}

/// Stores a question and opens its turn, unless a later connection owns the session.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveQuestion {
    /// The new turn.
    pub turn_id: TurnId,
    pub session_id: SessionId,
    /// The epoch of the connection.
    pub epoch: i64,
    /// The `id` that the client gave the question.
    pub client_id: Option<String>,
    pub question: Arc<str>,
    /// The length of the question in tokens.
    pub tokens: u32,
    pub asked_at: Timestamp,
    /// The [`InstanceId`](crate::system::instance_id::InstanceId) of the process that will answer.
    pub answered_by: Arc<str>,
    /// The turn whose answer the new one replaces.
    pub regenerates: Option<TurnId>,
    /// The budget to reserve; `None` if no model is asked.
    pub reservation: Option<Box<BudgetReservation>>,
}

/// Reads the used and reserved amounts of accounts.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<(Account, Amount)>, StorageError>")]
pub struct LoadBudgetUsage {
    pub accounts: Vec<Account>,
}

/// Stores an answer or a checkpoint of one. The later one replaces the earlier. Fails with
/// [`StorageError::Gone`] if the turn has already ended or was deleted.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveAnswer(pub AnswerRecord);

/// Marks a turn as interrupted by a crash, unless its instance has written to it after
/// `last_heartbeat`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct MarkInterrupted {
    pub turn_id: TurnId,
    pub at: Timestamp,
    /// The [`StoredTurn::last_heartbeat`] that the caller has seen.
    pub last_heartbeat: Timestamp,
}

/// Reads a page of the transcript.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<TranscriptPage, StorageError>")]
pub struct LoadHistory {
    pub session_id: SessionId,
    /// Only turns before this one.
    pub before: Option<TurnId>,
    /// The maximum number of turns.
    pub limit: usize,
}

/// Reads one turn of a session.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Option<StoredTurn>, StorageError>")]
pub struct FindTurn {
    pub session_id: SessionId,
    pub key: TurnKey,
}

/// Stores a visitor's feedback on an answer; it replaces earlier feedback. Fails with
/// [`StorageError::Gone`] if the session has no such turn.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveFeedback {
    pub session_id: SessionId,
    /// The epoch of the connection.
    pub epoch: i64,
    pub turn_id: TurnId,
    /// `None` deletes the feedback.
    pub rating: Option<Rating>,
    /// At most `MAX_COMMENT_CHARS` characters.
    pub comment: Option<String>,
    pub at: Timestamp,
}

/// Deletes a session with all of its content, including writes that are still queued.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct ForgetSession {
    pub session_id: SessionId,
    /// The epoch of the connection.
    pub epoch: i64,
}

/// Runs a query and returns its duration.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Duration, StorageError>")]
pub struct CheckStorage;

/// Returns the status of the writer without waiting for the database. The reply also proves that
/// the actor processes messages.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "WriterReport")]
pub struct CheckWriter;

/// The status of the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterReport {
    /// The most recent write failed because the database was unavailable.
    pub database_unavailable: bool,
    /// The number of queued writes.
    pub queued: usize,
    /// The number of transactions committed since start.
    pub batches: u64,
    /// The number of writes committed since start.
    pub writes: u64,
}

/// Returns after all writes that are queued now were committed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct FlushStorage;

/// Reads the pending costs that need work.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<PendingCosts, StorageError>")]
pub struct FindPendingCosts {
    pub now: Timestamp,
    /// The maximum number of due costs to return, and of surplus ones.
    pub max_due: usize,
    /// The maximum number of costs to keep; older ones are surplus.
    pub max_kept: u64,
}

/// Changes a pending cost. Returns false if another instance has changed it first.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, StorageError>")]
pub struct UpdatePendingCost {
    pub turn_id: TurnId,
    /// The id that the model server gave the request.
    pub upstream_id: Arc<str>,
    pub update: PendingCostUpdate,
}
