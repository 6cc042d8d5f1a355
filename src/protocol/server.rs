//! The frames that the server sends, and the values inside them.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, Rating, Role, TurnStatus, Usage};

/// A frame sent by the server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The session of this connection, after `start`, `resume` or the first `question`.
    Session(Box<SessionFrame>),
    /// A question was accepted. It is stored if `durable` is true.
    Accepted {
        /// The `id` of the question.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The turn of the question.
        turn_id: TurnId,
        /// The number of questions left in the current rate-limit window.
        remaining: u32,
        /// Whether the question is committed to the store.
        durable: bool,
        /// Whether the question repeats an earlier one with the same `id`.
        duplicate: bool,
    },
    /// An accepted question waits in the queue for the model.
    Queued {
        /// The turn of the question.
        turn_id: TurnId,
        /// The position in the queue; 1 is next.
        #[schema(minimum = 1)]
        position: usize,
    },
    /// The model thinks before the first word of an answer.
    Thinking {
        /// The turn of the answer.
        turn_id: TurnId,
    },
    /// The next piece of an answer.
    Delta(DeltaFrame),
    /// The deltas of a turn so far are void: the answer is generated again, and `seq` restarts at
    /// 1.
    Reset {
        /// The turn that restarts.
        turn_id: TurnId,
    },
    /// A turn has ended.
    Done(Box<DoneFrame>),
    /// A change that the client should show or react to.
    Notice {
        /// The kind of change.
        code: NoticeCode,
        /// A message for the visitor.
        message: String,
    },
    /// A request was rejected, or a turn failed.
    Error(Box<ErrorFrame>),
    /// Part of the transcript, oldest first.
    History {
        /// The messages.
        messages: Vec<HistoryMessage>,
        /// Whether older messages exist.
        more: bool,
    },
    /// The rating of an answer is stored or removed.
    FeedbackSaved {
        /// The turn whose answer was rated.
        turn_id: TurnId,
        /// The rating; absent if it was removed.
        #[serde(skip_serializing_if = "Option::is_none")]
        rating: Option<Rating>,
        /// The `id` of the feedback.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// The conversation is deleted. The connection closes.
    Forgotten,
    /// The reply to `ping`.
    Pong {
        /// The `id` of the ping.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

/// The session, its limits and the resume it is about.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionFrame {
    /// The id of the session.
    pub session_id: SessionId,
    /// The secret that resumes the session: 64 hexadecimal digits.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub resume_token: String,
    /// When the session expires if no question is asked until then.
    pub expires_at: Timestamp,
    /// Whether this is the reply to `resume`.
    pub resumed: bool,
    /// Whether all deltas after the client's cursor follow, in order, exactly once.
    pub recovered: bool,
    /// The limits of the session.
    pub limits: Limits,
    /// The resume.
    pub resume: ResumeInfo,
    /// Suggested questions.
    #[schema(max_items = 4)]
    pub suggestions: Arc<[String]>,
    /// What currently produces the answers.
    pub mode: AnswerMode,
    /// The transcript after `resume`, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryMessage>,
    /// Whether messages older than `history` exist.
    pub more: bool,
    /// What visitors are told about their data; absent if the owner has set nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyInfo>,
    /// The hosts of the links and mail addresses in the resume, sorted.
    #[schema(max_items = 100)]
    pub link_hosts: Arc<[String]>,
    /// The id of this connection in the log.
    pub request_id: Arc<str>,
}

/// What visitors are told about their data.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PrivacyInfo {
    /// The page that explains how the data is processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Arc<str>>,
    /// The number of days after which the owner deletes conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub retention_days: Option<u32>,
}

/// The limits of a session.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Limits {
    /// The maximum length of a question, in Unicode scalar values.
    pub max_question_chars: usize,
    /// The maximum number of questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// The number of questions left in the current rate-limit window.
    pub remaining: u32,
    /// The maximum number of tokens of a prompt and its answer together.
    pub max_context_tokens: u32,
    /// The maximum number of tokens of an answer.
    pub max_response_tokens: u32,
}

/// The resume that the conversation is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResumeInfo {
    /// The name of the person.
    pub name: Arc<str>,
    /// A digest of the resume: 12 hexadecimal digits.
    #[schema(min_length = 12, max_length = 12)]
    pub revision: Arc<str>,
}

/// The next piece of an answer: one or more deltas.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeltaFrame {
    /// The turn of the answer.
    pub turn_id: TurnId,
    /// The number of the last delta in `text`. The first delta of a turn is 1.
    #[schema(minimum = 1)]
    pub seq: u64,
    /// The text to append.
    pub text: String,
    /// Whether this text was sent before and is repeated after a resume.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
}

/// The end of a turn.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoneFrame {
    /// The turn that ended.
    pub turn_id: TurnId,
    /// How the turn ended.
    pub status: TurnStatus,
    /// What produced the answer.
    pub mode: AnswerMode,
    /// The model, if one answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// Tokens and cost of all requests that the answer took.
    pub usage: Usage,
    /// Whether some of the tokens are the server's own count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub usage_estimated: bool,
    /// The sections of the resume that the answer quotes.
    pub citations: Vec<String>,
    /// Whether the answer is committed to the store.
    pub durable: bool,
    /// The number of questions left in the current rate-limit window.
    pub remaining: u32,
}

/// The kind of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NoticeCode {
    /// The oldest messages no longer fit into the prompt.
    ContextPruned,
    /// The server is about to restart.
    Draining,
    /// The model is unavailable; excerpts of the resume are quoted instead.
    Degraded,
    /// The model is available again.
    Recovered,
    /// The connection will be closed soon unless a question is asked.
    IdleSoon,
}

/// A rejected request or a failed turn.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorFrame {
    /// The error code.
    pub code: ErrorCode,
    /// A message for the visitor.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait before a retry, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The `id` of the rejected request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The turn that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// The id of this request in the log.
    pub request_id: Arc<str>,
}

impl ErrorFrame {
    /// Creates an error with the default message of its code.
    #[must_use]
    pub fn new(code: ErrorCode, request_id: Arc<str>) -> Self {
        Self {
            code,
            message: code.entry().message.to_owned(),
            retryable: code.is_retryable(),
            retry_after_ms: None,
            id: None,
            turn_id: None,
            request_id,
        }
    }
}

/// A message of the transcript.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryMessage {
    /// The turn of the message.
    pub turn_id: TurnId,
    /// The author.
    pub role: Role,
    /// The text.
    pub content: Arc<str>,
    /// The length in tokens.
    pub tokens: u32,
    /// When the question was asked, or the answer last saved.
    pub created_at: Timestamp,
    /// The status of the turn.
    pub status: TurnStatus,
    /// What produced the answer; absent for questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<AnswerMode>,
    /// The later turn that replaced this one, if any. A replaced turn is no longer part of the
    /// conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<TurnId>,
    /// The visitor's latest rating; absent for questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
}
