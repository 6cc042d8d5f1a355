//! The parameters and results of reports.

use serde::Serialize;
use thiserror::Error;

use crate::domain::clock::Timestamp;
use crate::domain::error_chain::ErrorChain;
use crate::domain::ids::SessionId;
use crate::persistence::error::StorageError;

/// A report failed.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The SQLite file does not exist.
    #[error("the database does not exist yet; `resume-chatbot serve` and `resume-chatbot migrate` create it")]
    NoDatabase,
    /// The database was not migrated to the schema of this version.
    #[error("the database does not have the tables of this version; run `resume-chatbot migrate`")]
    NoSchema,
    #[error("{}", ErrorChain(.0))]
    Storage(#[from] StorageError),
}

/// Which conversations a report lists.
#[derive(Clone, Copy, Debug)]
pub struct ConversationFilter {
    /// Only those last seen at this time or later.
    pub since: Timestamp,
    /// Also those without a question.
    pub include_empty: bool,
    /// Only those with an [unanswered](ConversationSummary::unanswered) question.
    pub unanswered_only: bool,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Conversations that started before this one, or all if there is none, newest first.
    Before(Option<SessionId>),
    /// Conversations that started after this one, or all if there is none, oldest first.
    After(Option<SessionId>),
}

/// A conversation without its texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConversationSummary {
    pub id: SessionId,
    pub started_at: Timestamp,
    /// When the session was last started, resumed or asked a question.
    pub last_seen_at: Timestamp,
    /// The number of questions.
    pub questions: i64,
    /// The number of questions whose answer failed, was interrupted, or has not ended.
    pub unanswered: i64,
    /// Tokens of all prompts.
    pub prompt_tokens: i64,
    /// Tokens of all answers.
    pub completion_tokens: i64,
    /// US dollars, as far as the model server reported them; `None` if it reported no cost.
    pub cost: Option<f64>,
}

/// How questions are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// By the day (UTC) on which they were asked, such as `2026-11-23`.
    Day,
    /// By the model that answered; `(excerpts)` for the resume, `(none)` without an answer.
    Model,
    /// By the status of the turn.
    Status,
}

/// The usage of a group of questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsageGroup {
    /// The day, model or status that the questions have in common.
    pub group: String,
    /// The number of questions.
    pub questions: i64,
    /// The number of questions whose tokens this server counted in part, because the model server
    /// did not report all of them.
    pub estimated: i64,
    /// Tokens of their prompts.
    pub prompt_tokens: i64,
    /// Tokens of their answers.
    pub completion_tokens: i64,
    /// US dollars, as far as the model server reported them; `None` if it reported no cost.
    pub cost: Option<f64>,
}

/// The conversations that were not seen since some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnseenCount {
    pub conversations: i64,
    /// The number of questions in these conversations.
    pub questions: i64,
}
