//! What the [`PersistenceActor`](super::PersistenceActor) is asked, and what it has to say.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;

use crate::budget::{Account, Amount};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TokenHash, TurnId};
use crate::domain::turn::Rating;
use crate::persistence::StorageError;
use crate::persistence::records::{
    AnswerRecord, OwedChange, OwedCosts, Reserve, StoredSession, StoredTurn, TranscriptPage, TurnKey,
};

/// Store a new session, at epoch 0.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct CreateSession {
    /// The session.
    pub session_id: SessionId,
    /// What its token must hash to.
    pub token_hash: TokenHash,
    /// When.
    pub at: Timestamp,
}

/// Take a session over: raise its epoch and read what a new connection must know.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Resumption, StorageError>")]
pub struct ResumeSession {
    /// The session.
    pub session_id: SessionId,
    /// What the given token hashes to.
    pub token_hash: TokenHash,
    /// When.
    pub at: Timestamp,
    /// How long a session lives after it was last seen.
    pub ttl: Duration,
}

/// Sessions with their epochs.
pub type Epochs = Vec<(SessionId, i64)>;

/// Look up the epochs of sessions; those that are not stored are left out.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Epochs, StorageError>")]
pub struct FindEpochs {
    /// The sessions, at most some hundreds.
    pub sessions: Vec<SessionId>,
}

/// What became of [`ResumeSession`].
#[derive(Debug)]
pub enum Resumption {
    /// The session is this connection's now.
    Resumed(StoredSession),
    /// There is no session with this id and token.
    NotFound,
    /// There was, but it is too old.
    Expired,
}

/// Store a question and open its turn. Commits nothing when the session is another connection's.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveQuestion {
    /// The new turn.
    pub turn_id: TurnId,
    /// Whose it is.
    pub session_id: SessionId,
    /// The epoch the asking connection has.
    pub epoch: i64,
    /// The client's own id.
    pub client_id: Option<String>,
    /// The question.
    pub question: Arc<str>,
    /// Its length in tokens.
    pub tokens: u32,
    /// When.
    pub asked_at: Timestamp,
    /// The server that will answer, by its [`Incarnation`](crate::system::instance_id::Incarnation).
    pub answered_by: Arc<str>,
    /// The turn whose answer the new one takes the place of.
    pub regenerates: Option<TurnId>,
    /// What its answer may take, when a model is to give it.
    pub reserve: Option<Box<Reserve>>,
}

/// Read what was taken, with what is set aside, in some accounts.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<(Account, Amount)>, StorageError>")]
pub struct LoadSpending {
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// Store an answer, whole or as far as it is; the later one replaces the earlier. [`StorageError::Gone`] when the turn has
/// ended, or is no longer there.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveAnswer(pub AnswerRecord);

/// A turn was cut off by a crash: mark it so, unless its server was heard of meanwhile.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct MarkInterrupted {
    /// The turn.
    pub turn_id: TurnId,
    /// When this was noticed.
    pub at: Timestamp,
    /// The last that was heard of its server, see [`StoredTurn::last_sign`].
    pub last_sign: Timestamp,
}

/// Read a part of the transcript.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<TranscriptPage, StorageError>")]
pub struct LoadHistory {
    /// Whose.
    pub session_id: SessionId,
    /// Only turns before this one.
    pub before: Option<TurnId>,
    /// Most turns.
    pub limit: usize,
}

/// Find a turn.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Option<StoredTurn>, StorageError>")]
pub struct FindTurn {
    /// Whose.
    pub session_id: SessionId,
    /// Which.
    pub key: TurnKey,
}

/// Keep what a visitor thinks of an answer, in place of what they thought before. [`StorageError::Gone`] when the session has
/// no such turn.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct SaveFeedback {
    /// Whose.
    pub session_id: SessionId,
    /// The epoch the connection has.
    pub epoch: i64,
    /// The turn.
    pub turn_id: TurnId,
    /// What they think; `None` takes it back.
    pub rating: Option<Rating>,
    /// In their words, at most [`MAX_COMMENT_CHARS`](crate::protocol::MAX_COMMENT_CHARS).
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Delete a session with all that was said in it. Also what is still waiting to be written of it is gone then.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct ForgetSession {
    /// Which.
    pub session_id: SessionId,
    /// The epoch the connection has.
    pub epoch: i64,
}

/// Run a real query; the reply says how long it took.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Duration, StorageError>")]
pub struct CheckStorage;

/// Say how the writing goes; the reply proves that the actor takes messages, and waits for no database.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "WriterReport")]
pub struct CheckWriter;

/// How the writing goes.
#[derive(Clone, Copy, Debug)]
pub struct WriterReport {
    /// The last try failed because the database was away.
    pub away: bool,
    /// Writes waiting for the database.
    pub waiting: usize,
    /// Transactions committed since start.
    pub groups: u64,
    /// Writes committed since start.
    pub writes: u64,
}

/// The reply comes when every write taken so far is committed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct FlushStorage;

/// Read which costs are to be asked for.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<OwedCosts, StorageError>")]
pub struct FindOwedCosts {
    /// Those due by now.
    pub now: Timestamp,
    /// Most of them at once.
    pub most_due: usize,
    /// Most that may be owed in all.
    pub most_kept: u64,
}

/// Change what is owed for a request. The reply says whether that was done: not when another server was faster.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, StorageError>")]
pub struct ChangeOwedCost {
    /// The turn.
    pub turn_id: TurnId,
    /// What the model's server calls the request.
    pub source_id: Arc<str>,
    /// How.
    pub change: OwedChange,
}
