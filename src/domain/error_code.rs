//! The error codes of the protocol, the store and the log.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// Why a request was refused or an answer failed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumString, IntoStaticStr, VariantArray, ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
pub enum ErrorCode {
    /// The request is malformed, or not possible at this point.
    ValidationError,
    /// The question or comment is longer than allowed.
    MessageTooLong,
    /// A rate limit is reached.
    RateLimitExceeded,
    /// A token or cost limit is reached.
    BudgetExceeded,
    /// The question or its answer was refused because of its content.
    ContentRejected,
    /// Another answer of the session is still being generated.
    TurnInProgress,
    /// The same `id` was used for another question.
    DuplicateId,
    /// The session has no such turn.
    NoSuchTurn,
    /// No session has this id and resume token.
    SessionNotFound,
    /// The session has expired.
    SessionExpired,
    /// No open event stream has this connection id.
    ConnectionNotFound,
    /// The client is not allowed to do this.
    NotAuthorized,
    /// The server is overloaded at the moment.
    Overloaded,
    /// The upstream server failed.
    ApiError,
    /// The upstream server did not answer in time.
    ApiTimeout,
    /// The database is not available at the moment.
    StorageUnavailable,
    /// The server is shutting down.
    ShuttingDown,
    /// A bug or an internal failure of this server.
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
            | Self::ConnectionNotFound
            | Self::NotAuthorized => false,
        }
    }
}
