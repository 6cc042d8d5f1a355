//! The one table of error codes: what is on the wire, what visitors are told, what clients and operators can do.
//!
//! The frames, the refusals over HTTP, `docs/api_reference.md` and the API documents are all made from it or checked
//! against it.

use serde::Serialize;
use utoipa::ToSchema;

pub use super::close_codes::{CloseEntry, CloseReason};

/// Why something was refused or failed, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
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
    /// The name on the wire.
    pub name: &'static str,
    /// The HTTP status when it refuses a handshake or an endpoint.
    pub http_status: u16,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// With which close code the connection may end because of it, if it may.
    pub closes_with: Option<CloseReason>,
    /// A sentence for the visitor, unless there is something more precise to say.
    pub message: &'static str,
    /// When it is sent, for the author of a client.
    pub when: &'static str,
    /// What the operator can do about it.
    pub operator: &'static str,
}

/// Builds a row; texts are in the order message, when, operator.
const fn entry(
    code: ErrorCode,
    name: &'static str,
    http_status: u16,
    retryable: bool,
    closes_with: Option<CloseReason>,
    [message, when, operator]: [&'static str; 3],
) -> CodeEntry {
    CodeEntry { code, name, http_status, retryable, closes_with, message, when, operator }
}

impl ErrorCode {
    /// Every code, in the order of the table.
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

    /// The code of this name, if it is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

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
        use CloseReason as End;
        match self {
            Self::ValidationError => entry(
                self,
                "VALIDATION_ERROR",
                400,
                false,
                Some(End::TooManyMalformed),
                [
                    "The request could not be understood.",
                    "malformed or empty, or not possible at this point",
                    "nothing; the author of the client reads the message",
                ],
            ),
            Self::MessageTooLong => entry(
                self,
                "MESSAGE_TOO_LONG",
                413,
                false,
                None,
                [
                    "The question is too long.",
                    "over 2,000 characters, or more tokens than fit beside the resume",
                    "if short questions are refused: raise `MAX_CONTEXT_TOKENS` or shorten the resume",
                ],
            ),
            Self::RateLimitExceeded => entry(
                self,
                "RATE_LIMIT_EXCEEDED",
                429,
                true,
                None,
                [
                    "Too many questions at once. Please wait a moment.",
                    "the session's window is full; with `retry_after_ms`",
                    "if visitors meet it: raise `RATE_LIMIT_REQUESTS_PER_MINUTE`",
                ],
            ),
            Self::BudgetExceeded => entry(
                self,
                "BUDGET_EXCEEDED",
                429,
                true,
                None,
                [
                    "The budget for answers is used up for now.",
                    "the budget of the day or of the client's address is used up, with `retry_after_ms` to midnight UTC; or that of the session, with `retryable: false`; or the account at the model's server is (402)",
                    "raise `DAILY_TOKEN_LIMIT`, `DAILY_COST_LIMIT` or the limit of that address or session, or add credit there",
                ],
            ),
            Self::ContentRejected => entry(
                self,
                "CONTENT_REJECTED",
                422,
                false,
                None,
                [
                    "This question cannot be answered here.",
                    "the model's server filtered the answer",
                    "nothing; the log says so under the request id",
                ],
            ),
            Self::TurnInProgress => entry(
                self,
                "TURN_IN_PROGRESS",
                409,
                true,
                None,
                [
                    "Please wait until the current answer is complete.",
                    "a question during an answer",
                    "nothing",
                ],
            ),
            Self::DuplicateId => entry(
                self,
                "DUPLICATE_ID",
                409,
                false,
                None,
                [
                    "This id was used for another question already.",
                    "the same `id` with another text, or for another request",
                    "nothing; the client must make ids of its own for every question",
                ],
            ),
            Self::NoSuchTurn => entry(
                self,
                "NO_SUCH_TURN",
                404,
                false,
                None,
                [
                    "There is no such question in this conversation.",
                    "nothing to cancel, to regenerate, or to give feedback on",
                    "nothing",
                ],
            ),
            Self::SessionNotFound => entry(
                self,
                "SESSION_NOT_FOUND",
                404,
                false,
                None,
                [
                    "This conversation was not found. Please start a new one.",
                    "unknown session or wrong token; or a later connection has the session",
                    "nothing; after many at once, check that `DATABASE_URL` is still the same",
                ],
            ),
            Self::SessionExpired => entry(
                self,
                "SESSION_EXPIRED",
                410,
                false,
                None,
                [
                    "This conversation has expired. Please start a new one.",
                    "not used for `SESSION_TTL`",
                    "if visitors meet it: raise `SESSION_TTL`",
                ],
            ),
            Self::NotAuthorized => entry(
                self,
                "NOT_AUTHORIZED",
                403,
                false,
                None,
                ["This is not allowed.", "the origin may not connect", "list the site in `ALLOWED_ORIGINS`"],
            ),
            Self::Overloaded => entry(
                self,
                "OVERLOADED",
                503,
                true,
                None,
                [
                    "Too much is going on at the moment. Please try again shortly.",
                    "every place is taken, here or at the model's server (429, 503, 529); a second `history` at once",
                    "raise `MAX_CONNECTIONS` or `LLM_MAX_CONCURRENCY`, or name `LLM_FALLBACK_MODELS`",
                ],
            ),
            Self::ApiError => entry(
                self,
                "API_ERROR",
                502,
                true,
                None,
                [
                    "The answer could not be generated. Please try again.",
                    "the model's server refused, failed or broke off",
                    "read `the answer failed` in the log: the key, the model's name, or the server",
                ],
            ),
            Self::ApiTimeout => entry(
                self,
                "API_TIMEOUT",
                504,
                true,
                None,
                [
                    "The answer took too long. Please try again.",
                    "the model's server fell silent, or said 408, 504, 524",
                    "raise `LLM_FIRST_WORD_TIMEOUT` or `LLM_IDLE_TIMEOUT`, or take a faster model",
                ],
            ),
            Self::StorageUnavailable => entry(
                self,
                "STORAGE_UNAVAILABLE",
                503,
                true,
                None,
                [
                    "The conversation cannot be saved at the moment. Please try again shortly.",
                    "the store failed, refused, or has too much waiting",
                    "look at the database; the log and `/health?deep=true` say what it answers",
                ],
            ),
            Self::ShuttingDown => entry(
                self,
                "SHUTTING_DOWN",
                503,
                true,
                Some(End::Restarting),
                [
                    "The server is restarting. Please try again in a moment.",
                    "no new questions or connections",
                    "nothing; it ends with the restart",
                ],
            ),
            Self::InternalError => entry(
                self,
                "INTERNAL_ERROR",
                500,
                true,
                Some(End::InternalFault),
                [
                    "Something went wrong on the server. Please try again.",
                    "a fault of this server",
                    "report it with the lines of the log under the request id",
                ],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::variants;

    #[test]
    fn every_code_has_its_row_under_its_name_on_the_wire() {
        let names: Vec<String> = ErrorCode::ALL.iter().map(|code| code.entry().name.to_owned()).collect();
        assert_eq!(names, variants::<ErrorCode>());
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.entry().name);
            assert_eq!(code.entry().code, code);
            assert!((400..600).contains(&code.entry().http_status), "{code:?}");
        }
    }
}
