//! The one table of error codes and the close codes, with what a person is told and what a client should do.

use serde::Serialize;

/// Why something was refused or failed, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The message was not a well-formed request.
    ValidationError,
    /// The question has more characters than allowed.
    MessageTooLong,
    /// Too many questions in the last minute.
    RateLimitExceeded,
    /// A token or cost ceiling is reached.
    BudgetExceeded,
    /// The question or its answer was refused for its content.
    ContentRejected,
    /// An answer is still being written.
    TurnInProgress,
    /// The same `id` came with another question.
    DuplicateId,
    /// There is no such turn in this session.
    NoSuchTurn,
    /// No session has this id and token.
    SessionNotFound,
    /// The session is older than it may get.
    SessionExpired,
    /// This connection may not do that.
    NotAuthorized,
    /// The server has too much to do at the moment.
    Overloaded,
    /// The model's server failed.
    ApiError,
    /// The model's server did not answer in time.
    ApiTimeout,
    /// The conversation cannot be stored at the moment.
    StorageUnavailable,
    /// The server is about to leave.
    ShuttingDown,
    /// A fault of this server.
    InternalError,
}

/// One row of the table: what every user of a code needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct CodeEntry {
    /// The code.
    pub code: ErrorCode,
    /// A sentence for the visitor.
    pub message: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The HTTP status when it refuses a handshake or an endpoint.
    pub http_status: u16,
}

const fn entry(code: ErrorCode, http_status: u16, retryable: bool, message: &'static str) -> CodeEntry {
    CodeEntry { code, message, retryable, http_status }
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::ValidationError,
        Self::MessageTooLong,
        Self::RateLimitExceeded,
        Self::BudgetExceeded,
        Self::ContentRejected,
        Self::TurnInProgress,
        Self::DuplicateId,
        Self::NoSuchTurn,
        Self::SessionNotFound,
        Self::SessionExpired,
        Self::NotAuthorized,
        Self::Overloaded,
        Self::ApiError,
        Self::ApiTimeout,
        Self::StorageUnavailable,
        Self::ShuttingDown,
        Self::InternalError,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        use ErrorCode as C;
        match self {
            C::ValidationError => "VALIDATION_ERROR",
            C::MessageTooLong => "MESSAGE_TOO_LONG",
            C::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            C::BudgetExceeded => "BUDGET_EXCEEDED",
            C::ContentRejected => "CONTENT_REJECTED",
            C::TurnInProgress => "TURN_IN_PROGRESS",
            C::DuplicateId => "DUPLICATE_ID",
            C::NoSuchTurn => "NO_SUCH_TURN",
            C::SessionNotFound => "SESSION_NOT_FOUND",
            C::SessionExpired => "SESSION_EXPIRED",
            C::NotAuthorized => "NOT_AUTHORIZED",
            C::Overloaded => "OVERLOADED",
            C::ApiError => "API_ERROR",
            C::ApiTimeout => "API_TIMEOUT",
            C::StorageUnavailable => "STORAGE_UNAVAILABLE",
            C::ShuttingDown => "SHUTTING_DOWN",
            C::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The row of this code.
    #[must_use]
    pub const fn entry(self) -> CodeEntry {
        use ErrorCode as C;
        match self {
            C::ValidationError => entry(self, 400, false, "The request could not be understood."),
            C::MessageTooLong => entry(self, 413, false, "The question is too long."),
            C::RateLimitExceeded => {
                entry(self, 429, true, "Too many questions at once. Please wait a moment.")
            }
            C::BudgetExceeded => entry(self, 429, true, "The budget for answers is used up for now."),
            C::ContentRejected => entry(self, 422, false, "This question cannot be answered here."),
            C::TurnInProgress => entry(self, 409, true, "Please wait until the current answer is complete."),
            C::DuplicateId => entry(self, 409, false, "This id was used for another question already."),
            C::NoSuchTurn => entry(self, 404, false, "There is no such question in this conversation."),
            C::SessionNotFound => {
                entry(self, 404, false, "This conversation was not found. Please start a new one.")
            }
            C::SessionExpired => {
                entry(self, 410, false, "This conversation has expired. Please start a new one.")
            }
            C::NotAuthorized => entry(self, 403, false, "This is not allowed."),
            C::Overloaded => {
                entry(self, 503, true, "Too much is going on at the moment. Please try again shortly.")
            }
            C::ApiError => entry(self, 502, true, "The answer could not be generated. Please try again."),
            C::ApiTimeout => entry(self, 504, true, "The answer took too long. Please try again."),
            C::StorageUnavailable => entry(
                self,
                503,
                true,
                "The conversation cannot be saved at the moment. Please try again shortly.",
            ),
            C::ShuttingDown => {
                entry(self, 503, true, "The server is restarting. Please try again in a moment.")
            }
            C::InternalError => {
                entry(self, 500, true, "Something went wrong on the server. Please try again.")
            }
        }
    }
}

/// Why the server closed a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000: ended as asked.
    Normal,
    /// 1002: the frames broke the WebSocket protocol.
    ProtocolViolation,
    /// 1003: a binary message came.
    BinaryMessage,
    /// 1007: a text message was not UTF-8.
    InvalidUtf8,
    /// 1009: a message was larger than allowed.
    TooBig,
    /// 1011: a fault of this server.
    InternalFault,
    /// 1012: the server restarts; come back after a random delay and resume.
    Restarting,
    /// 4400: too many malformed messages.
    TooManyMalformed,
    /// 4408: nothing happened for too long, or pings were not answered.
    IdleTooLong,
    /// 4409: the session was resumed on another connection.
    ResumedElsewhere,
}

impl CloseReason {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolViolation => 1002,
            Self::BinaryMessage => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
            Self::InternalFault => 1011,
            Self::Restarting => 1012,
            Self::TooManyMalformed => 4400,
            Self::IdleTooLong => 4408,
            Self::ResumedElsewhere => 4409,
        }
    }

    /// The text sent beside the code.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Normal => "goodbye",
            Self::ProtocolViolation => "the WebSocket protocol was violated",
            Self::BinaryMessage => "only text messages are understood",
            Self::InvalidUtf8 => "a text message was not UTF-8",
            Self::TooBig => "a message was larger than 16 KiB",
            Self::InternalFault => "a fault of the server; reconnect and resume",
            Self::Restarting => "the server restarts; reconnect and resume",
            Self::TooManyMalformed => "too many malformed messages",
            Self::IdleTooLong => "idle for too long",
            Self::ResumedElsewhere => "the session was resumed on another connection",
        }
    }
}
