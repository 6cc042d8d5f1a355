//! The values that the store takes and returns: sessions, turns, messages, budgets, pending costs.

use std::sync::Arc;

use crate::budget::{Account, Amount, BudgetPolicy, ReportedCost, RequestTokens};
use crate::domain::budget_scope::BudgetScope;
use crate::domain::clock::Timestamp;
use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::{AnswerMode, Rating, TurnStatus, Usage};

/// A session as a resuming connection needs it.
#[derive(Debug)]
pub struct StoredSession {
    /// Incremented by each connection that takes the session over.
    pub epoch: i64,
    /// The newest turns, oldest first.
    pub turns: Vec<StoredTurn>,
    /// Whether there are older turns.
    pub has_more: bool,
    /// The times of the questions in the rate-limit window, oldest first.
    pub recent_questions: Vec<Timestamp>,
}

/// A stored turn.
#[derive(Clone, Debug)]
pub struct StoredTurn {
    pub turn_id: TurnId,
    /// The `id` that the client gave the question.
    pub client_id: Option<String>,
    pub status: TurnStatus,
    /// `None` until the answer starts.
    pub mode: Option<AnswerMode>,
    /// The model that answered.
    pub model: Option<Arc<str>>,
    /// What all requests for the answer used.
    pub usage: Usage,
    pub asked_at: Timestamp,
    pub question: StoredMessage,
    /// The answer, or as much of it as was saved.
    pub answer: Option<StoredMessage>,
    /// The reason if the answer failed.
    pub failure: Option<ErrorCode>,
    /// The [`InstanceId`](crate::system::instance_id::InstanceId) of the server process that
    /// generates or generated the answer.
    pub answered_by: Option<String>,
    /// The turn whose answer this turn replaces.
    pub regenerates: Option<TurnId>,
    /// The turn that replaces this one. A replaced turn stays in the transcript but is not part of
    /// later prompts.
    pub superseded_by: Option<TurnId>,
    /// The visitor's feedback on the answer.
    pub feedback: Option<Feedback>,
}

/// A visitor's feedback on an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    pub rating: Rating,
    pub comment: Option<String>,
}

impl StoredTurn {
    /// Returns the byte offset in the answer at which each delta ends, or `None` if the answer was
    /// stored without offsets.
    #[must_use]
    pub fn delta_ends(&self) -> Option<Vec<usize>> {
        match &self.answer {
            Some(StoredMessage { content, delta_offsets: Some(offsets), .. }) => offsets.decode(content),
            Some(answer) if !answer.content.is_empty() => None,
            Some(_) | None => Some(Vec::new()),
        }
    }

    /// Returns when the instance that generates the answer last wrote to the turn. A running
    /// instance saves a checkpoint every few seconds.
    #[must_use]
    pub fn last_heartbeat(&self) -> Timestamp {
        self.answer.as_ref().map_or(self.question.at, |answer| answer.at)
    }
}

/// A stored question or answer.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    pub content: Arc<str>,
    /// The length of `content` in tokens.
    pub tokens: u32,
    /// When the question was asked, or when the answer was last saved.
    pub at: Timestamp,
    /// The ends of the deltas of an answer; `None` for a question.
    pub delta_offsets: Option<DeltaOffsets>,
    /// The resume sections that an answer quotes.
    pub citations: Vec<String>,
}

/// The amount to reserve for the answer to a question, in the transaction that stores the question.
/// While the caller waits, a question that would exceed a limit is not stored. After the timeout
/// its answer is already being generated, so the amount is reserved even if it exceeds a limit.
#[derive(Clone, Debug)]
pub struct BudgetReservation {
    /// The accounts to charge. A session account belongs to the session of the question.
    pub accounts: Vec<Account>,
    pub amount: Amount,
    /// The limits, counting all instances that share the database.
    pub policy: BudgetPolicy,
}

/// The amount that replaces a reservation.
#[derive(Clone, Debug)]
pub struct BudgetSettlement {
    /// The accounts of the reservation.
    pub accounts: Vec<Account>,
    pub reserved: Amount,
    pub used: Amount,
}

/// An answer, finished or not, and the new state of its turn.
#[derive(Clone, Debug)]
pub struct AnswerRecord {
    pub turn_id: TurnId,
    pub answer: Arc<str>,
    /// The ends of the deltas of `answer`.
    pub delta_offsets: Option<DeltaOffsets>,
    /// The length of `answer` in tokens.
    pub tokens: u32,
    /// `Answering` for a checkpoint.
    pub status: TurnStatus,
    pub mode: AnswerMode,
    /// The model that answered.
    pub model: Option<Arc<str>>,
    /// What all requests for the answer used.
    pub usage: Usage,
    /// The resume sections that the answer quotes.
    pub citations: Vec<String>,
    /// The reason if the answer failed.
    pub failure: Option<ErrorCode>,
    pub at: Timestamp,
    /// Replaces the reservation; set when the answer has ended.
    pub settlement: Option<BudgetSettlement>,
    /// The requests whose cost the model server has not reported yet; set when the answer has
    /// ended.
    pub pending_costs: Vec<PendingCost>,
}

/// A page of a transcript.
#[derive(Debug)]
pub struct TranscriptPage {
    /// The turns, oldest first.
    pub turns: Vec<StoredTurn>,
    /// Whether there are older turns.
    pub has_more: bool,
}

impl TranscriptPage {
    /// Returns the times of the session's questions after `since`, oldest first, or `None` if the
    /// page may not contain all of them.
    #[must_use]
    pub fn asked_since(&self, since: Timestamp) -> Option<Vec<Timestamp>> {
        let is_older = |turn: &StoredTurn| turn.asked_at <= since;
        let is_complete = !self.has_more || self.turns.first().is_some_and(is_older);
        let asked = self.turns.iter().filter(|turn| !is_older(turn)).map(|turn| turn.asked_at);
        is_complete.then(|| asked.collect())
    }
}

/// Identifies a turn within its session.
#[derive(Clone, Debug)]
pub enum TurnKey {
    /// By its own id.
    Turn(TurnId),
    /// By the `id` that the client gave the question.
    Client(String),
}

/// A request whose cost the model server has not reported yet.
#[derive(Clone, Debug)]
pub struct PendingCost {
    /// The turn of the request, which may have been deleted.
    pub turn_id: TurnId,
    /// The id that the model server gave the request.
    pub upstream_id: Arc<str>,
    /// The accounts that are charged. That of the day comes first.
    pub accounts: Vec<Account>,
    /// The estimate that is charged until the cost is known.
    pub charged: Amount,
    /// The part of the estimate in the usage of the turn.
    pub estimate: RequestTokens,
    /// The [`InstanceId`](crate::system::instance_id::InstanceId) of the process that charged it.
    pub charged_by: Arc<str>,
    pub charged_at: Timestamp,
    /// The number of lookups at the model server.
    pub attempts: u32,
    /// When the next lookup is due.
    pub due_at: Timestamp,
}

/// The pending costs that need work.
#[derive(Clone, Debug)]
pub struct PendingCosts {
    /// The costs that are due, the longest due first.
    pub due: Vec<PendingCost>,
    /// When the next cost is due; `None` if it was not among the rows that were read.
    pub next_due: Option<Timestamp>,
    /// The oldest costs above the maximum, limited to the number that is read at once.
    pub surplus: Vec<PendingCost>,
    /// The number of all pending costs.
    pub total: u64,
}

/// A change of a pending cost.
#[derive(Clone, Copy, Debug)]
pub enum PendingCostUpdate {
    /// Look it up again later. If several instances found the cost with the same number of
    /// attempts, only one update succeeds.
    Reschedule {
        /// The attempts that the caller found.
        expected_attempts: u32,
        /// The new number of attempts.
        attempts: u32,
        due_at: Timestamp,
    },
    /// The cost was reported; corrects the accounts and the turn.
    Resolve(ReportedCost),
    /// The cost will not be reported; the estimate stays.
    Abandon,
}

/// The result of a committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    Done,
    /// The session was taken over with this epoch.
    Claimed {
        epoch: i64,
    },
    NotFound,
    Expired,
    /// The caller stopped waiting before the write was applied.
    TimedOut,
    Superseded,
    Duplicate,
    BudgetExceeded(BudgetScope),
}
