//! The error codes of the protocol, the store and the log.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// Why something was refused or failed, as clients see it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumString, IntoStaticStr, VariantArray, ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
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

impl ErrorCode {
    /// Returns the name on the wire, in the store and in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Returns whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::RateLimitExceeded
            | Self::BudgetExceeded
            | Self::TurnInProgress
            | Self::Overloaded
            | Self::ApiError
            | Self::ApiTimeout
            | Self::StorageUnavailable
            | Self::ShuttingDown
            | Self::InternalError => true,
            Self::ValidationError
            | Self::MessageTooLong
            | Self::ContentRejected
            | Self::DuplicateId
            | Self::NoSuchTurn
            | Self::SessionNotFound
            | Self::SessionExpired
            | Self::NotAuthorized => false,
        }
    }
}
