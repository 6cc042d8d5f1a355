//! What clients are told: the frames and the values inside them.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, Rating, Role, TurnStatus, Usage};

/// One message to a client.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The session this connection now speaks for.
    Session(Box<SessionFrame>),
    /// A question was taken, and is stored when `durable`.
    Accepted {
        /// The client's own id of the question.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The turn it opened.
        turn_id: TurnId,
        /// Questions left in the current minute.
        remaining: u32,
        /// Whether it is committed to the store.
        durable: bool,
        /// Whether it was attached to an earlier turn with the same id.
        duplicate: bool,
    },
    /// An accepted question waits until the model has a place for it.
    Queued {
        /// Its turn.
        turn_id: TurnId,
        /// So many are answered before it, and itself: 1 is the next.
        #[schema(minimum = 1)]
        position: usize,
    },
    /// More of an answer.
    Delta(DeltaFrame),
    /// What came so far for a turn is void: the model is asked again, and `seq` starts at 1 again.
    Reset {
        /// The turn.
        turn_id: TurnId,
    },
    /// An accepted turn has ended.
    Done(Box<DoneFrame>),
    /// Something the client should know.
    Notice {
        /// What happened.
        code: NoticeCode,
        /// A sentence for people.
        message: String,
    },
    /// A request was refused, or a turn failed.
    Error(Box<ErrorFrame>),
    /// Part of the transcript, oldest first.
    History {
        /// The messages.
        messages: Vec<HistoryMessage>,
        /// Whether there are older ones.
        more: bool,
    },
    /// What a visitor thinks of an answer is kept.
    FeedbackSaved {
        /// The turn.
        turn_id: TurnId,
        /// What they think; absent when it was taken back.
        #[serde(skip_serializing_if = "Option::is_none")]
        rating: Option<Rating>,
        /// The `id` of the feedback.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// The conversation is deleted; the connection closes.
    Forgotten,
    /// The answer to `ping`.
    Pong {
        /// The `id` of the ping.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

/// The session, its limits and what it is about.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionFrame {
    /// The session.
    pub session_id: SessionId,
    /// The secret to come back with: 64 hexadecimal digits.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub resume_token: String,
    /// Until when the session can be resumed if nothing more is asked.
    pub expires_at: Timestamp,
    /// Whether this is the answer to `resume`.
    pub resumed: bool,
    /// Whether everything after the client's cursor follows, in order, once.
    pub recovered: bool,
    /// What may be asked, how often.
    pub limits: Limits,
    /// Whose resume it is.
    pub resume: ResumeInfo,
    /// Questions to offer.
    #[schema(max_items = 4)]
    pub suggestions: Arc<[String]>,
    /// Who answers.
    pub mode: AnswerMode,
    /// The transcript after `resume`, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryMessage>,
    /// Whether there are messages older than `history`.
    pub more: bool,
    /// The id under which the operator finds this connection in the log.
    pub request_id: Arc<str>,
}

/// The limits of a session.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Limits {
    /// Longest question, in Unicode scalar values.
    pub max_question_chars: usize,
    /// Questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// Questions left in the current minute.
    pub remaining: u32,
    /// Tokens a prompt and its answer may have together.
    pub max_context_tokens: u32,
    /// Tokens an answer may have.
    pub max_response_tokens: u32,
}

/// Whose resume is talked about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResumeInfo {
    /// The person's name.
    pub name: Arc<str>,
    /// Changes when the resume does: 12 hexadecimal digits.
    #[schema(min_length = 12, max_length = 12)]
    pub revision: Arc<str>,
}

/// More of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeltaFrame {
    /// The turn.
    pub turn_id: TurnId,
    /// The number of the last delta in `text`, counted from 1 within the turn.
    #[schema(minimum = 1)]
    pub seq: u64,
    /// The text to append.
    pub text: String,
    /// Whether this was said before and is said again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
}

/// How a turn ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoneFrame {
    /// The turn.
    pub turn_id: TurnId,
    /// How it ended.
    pub status: TurnStatus,
    /// Who answered.
    pub mode: AnswerMode,
    /// Which model, when one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// What it took.
    pub usage: Usage,
    /// The sections of the resume that were quoted.
    pub citations: Vec<String>,
    /// Whether the answer is committed to the store.
    pub durable: bool,
    /// Questions left in the current minute.
    pub remaining: u32,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NoticeCode {
    /// The oldest messages no longer fit into the prompt.
    ContextPruned,
    /// The server is about to restart.
    Draining,
    /// From now on passages of the resume are quoted instead of the model's answers.
    Degraded,
    /// The model answers again.
    Recovered,
    /// The connection will soon be closed unless a question is asked.
    IdleSoon,
}

/// A refusal or a failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorFrame {
    /// Why.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// After how long, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The client's own id of the question that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The turn that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// The id under which the operator finds this in the log.
    pub request_id: Arc<str>,
}

impl ErrorFrame {
    /// A fault with the code's own sentence, about nothing but the request.
    #[must_use]
    pub fn of(code: ErrorCode, request_id: Arc<str>) -> Self {
        let entry = code.entry();
        Self {
            code,
            message: entry.message.to_owned(),
            retryable: code.is_retryable(),
            retry_after_ms: None,
            id: None,
            turn_id: None,
            request_id,
        }
    }
}

/// One message of a transcript.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryMessage {
    /// Its turn.
    pub turn_id: TurnId,
    /// Who wrote it.
    pub role: Role,
    /// What.
    pub content: Arc<str>,
    /// Its length in tokens.
    pub tokens: u32,
    /// When.
    pub created_at: Timestamp,
    /// How its turn ended.
    pub status: TurnStatus,
    /// Who answered; only with an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<AnswerMode>,
    /// The later turn that took the place of its turn, if one did. It is no longer part of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<TurnId>,
    /// What the visitor thinks of it, as the last `feedback` said; only with an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
}
