//! What the store takes and returns: turns, messages, budgets, pending costs.

use std::sync::Arc;

use crate::budget::{Account, Amount, Budget, Scope, TrueCost};
use crate::domain::clock::Timestamp;
use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::{AnswerMode, Rating, TurnStatus, Usage};

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
    /// The [`Incarnation`](crate::system::instance_id::Incarnation) of the server that answers or answered.
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
            Some(StoredMessage { content, boundaries: Some(boundaries), .. }) => boundaries.decode(content),
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
    pub boundaries: Option<DeltaOffsets>,
    /// Of an answer: the sections that were quoted.
    pub citations: Vec<String>,
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

/// An answer and how its turn stands.
#[derive(Clone, Debug)]
pub struct AnswerRecord {
    /// The turn.
    pub turn_id: TurnId,
    /// The text.
    pub answer: Arc<str>,
    /// Where its deltas end.
    pub boundaries: Option<DeltaOffsets>,
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

/// What a turn is found by.
#[derive(Clone, Debug)]
pub enum TurnKey {
    /// Its own id.
    Turn(TurnId),
    /// The client's own id of its question.
    Client(String),
}

/// A request of which the model's server has not said yet what it cost.
#[derive(Clone, Debug)]
pub struct OwedCost {
    /// The turn it was made for; the conversation may be deleted since.
    pub turn_id: TurnId,
    /// What the model's server calls it.
    pub source_id: Arc<str>,
    /// Whether its words are the answer.
    pub attempt: Attempt,
    /// The accounts it is counted in, the day's first.
    pub accounts: Vec<Account>,
    /// What is counted for it until its cost is known.
    pub counted: Amount,
    /// The server that counted, by its [`Incarnation`](crate::system::instance_id::Incarnation).
    pub counted_by: Arc<str>,
    /// When it was counted.
    pub counted_at: Timestamp,
    /// How often the model's server was asked.
    pub tries: u32,
    /// When it is to be asked next.
    pub due_at: Timestamp,
}

/// What became of the words of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// They are the answer, whose usage is that of this request.
    Answer,
    /// They are void: another request took its place.
    Void,
}

impl Attempt {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Void => "void",
        }
    }

    /// Anything unknown concerns no answer.
    pub(crate) fn from_name(name: &str) -> Self {
        if name == Self::Answer.as_str() { Self::Answer } else { Self::Void }
    }
}

/// Which costs are to be asked for.
#[derive(Clone, Debug)]
pub struct OwedCosts {
    /// Those that are due, the longest due first.
    pub due: Vec<OwedCost>,
    /// When the next one is, if that was seen.
    pub next_due: Option<Timestamp>,
    /// The oldest of those above what may be owed; no more than are looked at once.
    pub surplus: Vec<OwedCost>,
    /// How many are owed.
    pub in_all: u64,
}

/// What becomes of an owed cost.
#[derive(Clone, Copy, Debug)]
pub enum OwedChange {
    /// It is asked for, or again later. Of several servers that found it after as many tries, one does.
    PutOff {
        /// Tries when it was found.
        found: u32,
        /// Tries from now on.
        tries: u32,
        /// When it is due next.
        due_at: Timestamp,
    },
    /// It is known: the account and the turn are corrected.
    Correct(TrueCost),
    /// It will not be known: what was counted stands.
    GiveUp,
}

/// What a committed change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    Epoch(i64),
    NotFound,
    Expired,
    TooLate,
    Superseded,
    Duplicate,
    CeilingReached(Scope),
}
