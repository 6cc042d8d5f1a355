//! What the [`PersistenceActor`](super::PersistenceActor) is asked, and what it has to say.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;

use super::StorageError;
use super::owed_costs::OwedCost;
use crate::clock::Timestamp;
use crate::ids::{SessionId, TokenHash, TurnId};
use crate::llm::boundaries::Boundaries;
use crate::protocol::client::Rating;
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{AnswerMode, TurnStatus, Usage};
use crate::spending::{Account, Amount, Budget};

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

/// What a new connection must know of a session.
#[derive(Debug)]
pub struct StoredSession {
    /// The connection's place in the succession of the session's connections.
    pub epoch: i64,
    /// The newest turns, oldest first.
    pub turns: Vec<StoredTurn>,
    /// Whether there are older ones.
    pub more: bool,
    /// When the questions of the last minute were asked, in order.
    pub asked: Vec<Timestamp>,
}

/// A turn as it is stored.
#[derive(Clone, Debug)]
pub struct StoredTurn {
    /// The turn.
    pub turn_id: TurnId,
    /// The client's own id of the question.
    pub client_id: Option<String>,
    /// How it ended, or that it has not.
    pub status: TurnStatus,
    /// Who answered.
    pub mode: Option<AnswerMode>,
    /// Which model.
    pub model: Option<Arc<str>>,
    /// What it took.
    pub usage: Usage,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The question.
    pub question: StoredMessage,
    /// The answer as far as it is stored.
    pub answer: Option<StoredMessage>,
    /// Why the answer failed, when it did and the version that stored it kept that.
    pub failure: Option<ErrorCode>,
    /// The [`Incarnation`](crate::incarnation::Incarnation) of the server that answers or answered.
    pub answered_by: Option<String>,
    /// The turn whose answer this one takes the place of.
    pub regenerates: Option<TurnId>,
    /// The turn that took its place: it is part of the transcript, but no longer of the conversation.
    pub superseded_by: Option<TurnId>,
    /// What the visitor thinks of the answer, if they said so.
    pub feedback: Option<Feedback>,
}

/// What a visitor thinks of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Whether it helped.
    pub rating: Rating,
    /// Why, in their words.
    pub comment: Option<String>,
}

impl StoredTurn {
    /// Where each delta of the answer ends; `None` for an answer that was stored without that.
    #[must_use]
    pub fn delta_ends(&self) -> Option<Vec<usize>> {
        match &self.answer {
            Some(StoredMessage { content, boundaries: Some(boundaries), .. }) => boundaries.ends_in(content),
            Some(answer) if !answer.content.is_empty() => None,
            Some(_) | None => Some(Vec::new()),
        }
    }

    /// When the server that answers was last heard of: it saves what there is every few seconds.
    #[must_use]
    pub fn last_sign(&self) -> Timestamp {
        self.answer.as_ref().map_or(self.question.at, |answer| answer.at)
    }
}

/// A message as it is stored.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// The text.
    pub content: Arc<str>,
    /// Its length in tokens.
    pub tokens: u32,
    /// When it was asked, or its answer last saved.
    pub at: Timestamp,
    /// Of an answer: where its deltas end, unless an older version stored it.
    pub boundaries: Option<Boundaries>,
    /// Of an answer: the sections that were quoted.
    pub citations: Vec<String>,
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
    /// The server that will answer, by its [`Incarnation`](crate::incarnation::Incarnation).
    pub answered_by: Arc<str>,
    /// The turn whose answer the new one takes the place of.
    pub regenerates: Option<TurnId>,
    /// What its answer may take, when a model is to give it.
    pub reserve: Option<Box<Reserve>>,
}

/// Set an amount aside in some accounts, with the question that will take it. While its asker waits, a question that would
/// exceed a ceiling is not stored; after that its answer is being given, and it counts whatever it exceeds.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// The accounts; a session's is that of the question's.
    pub accounts: Vec<Account>,
    /// How much.
    pub amount: Amount,
    /// What they may take, by all servers that share the database.
    pub budget: Budget,
}

/// Count what was taken instead of what was set aside.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The accounts in which it was set aside.
    pub accounts: Vec<Account>,
    /// What was set aside.
    pub set_aside: Amount,
    /// What was taken.
    pub taken: Amount,
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

/// An answer and how its turn stands.
#[derive(Clone, Debug)]
pub struct AnswerRecord {
    /// The turn.
    pub turn_id: TurnId,
    /// The text.
    pub answer: Arc<str>,
    /// Where its deltas end.
    pub boundaries: Option<Boundaries>,
    /// Its length in tokens.
    pub tokens: u32,
    /// `Answering` for an unfinished one.
    pub status: TurnStatus,
    /// Who answered.
    pub mode: AnswerMode,
    /// Which model.
    pub model: Option<Arc<str>>,
    /// What it took.
    pub usage: Usage,
    /// Sections that were quoted.
    pub citations: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<ErrorCode>,
    /// When.
    pub at: Timestamp,
    /// What becomes of what was set aside for it, at its end.
    pub settle: Option<Settle>,
    /// Costs that the model's server has still to tell, at its end.
    pub owed: Vec<OwedCost>,
}

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

/// A part of a transcript.
#[derive(Debug)]
pub struct TranscriptPage {
    /// Turns, oldest first.
    pub turns: Vec<StoredTurn>,
    /// Whether there are older ones.
    pub more: bool,
}

impl TranscriptPage {
    /// When the session's questions since a point were asked, in order; `None` when some of them may be older than the page.
    #[must_use]
    pub fn asked_since(&self, since: Timestamp) -> Option<Vec<Timestamp>> {
        let is_older = |turn: &StoredTurn| turn.asked_at <= since;
        let tells = !self.more || self.turns.first().is_some_and(is_older);
        let asked = self.turns.iter().filter(|turn| !is_older(turn)).map(|turn| turn.asked_at);
        tells.then(|| asked.collect())
    }
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

/// What a turn is found by.
#[derive(Clone, Debug)]
pub enum TurnKey {
    /// Its own id.
    Turn(TurnId),
    /// The client's own id of its question.
    Client(String),
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
