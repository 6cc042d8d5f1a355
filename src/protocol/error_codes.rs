//! The table of error codes: status, message for visitors, cause, and what the operator can do.
//!
//! Error frames, HTTP error responses, the API documents and `docs/api_reference.md` are derived
//! from this table or tested against it.

use crate::domain::error_code::ErrorCode;
use crate::protocol::close_codes::CloseReason;

/// The properties of an error code on the wire.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCodeEntry {
    /// The code.
    pub code: ErrorCode,
    /// The status of an HTTP response with this code.
    pub http_status: u16,
    /// The close code, if the connection may end because of this error.
    pub close_reason: Option<CloseReason>,
    /// The default message for visitors.
    pub message: &'static str,
    /// When the server sends the code, for authors of clients.
    pub cause: &'static str,
    /// What the operator can do about it.
    pub operator_action: &'static str,
}

/// Every error code, in the order of the reference.
pub const ERROR_CODES: [ErrorCodeEntry; 18] = [
    ErrorCodeEntry {
        code: ErrorCode::ValidationError,
        http_status: 400,
        close_reason: Some(CloseReason::TooManyMalformed),
        message: "The request is invalid.",
        cause: "malformed or empty, or not allowed in the current state",
        operator_action: "nothing; the message helps the author of the client",
    },
    ErrorCodeEntry {
        code: ErrorCode::MessageTooLong,
        http_status: 413,
        close_reason: None,
        message: "The question is too long.",
        cause: "more than 2,000 characters, or more tokens than fit next to the resume",
        operator_action: "if short questions are rejected, raise `MAX_CONTEXT_TOKENS` or shorten the resume",
    },
    ErrorCodeEntry {
        code: ErrorCode::RateLimitExceeded,
        http_status: 429,
        close_reason: None,
        message: "Too many questions. Please wait a moment.",
        cause: "a rate limit of the session or of the client address is reached; with `retry_after_ms`",
        operator_action: "if visitors reach it, raise `RATE_LIMIT_REQUESTS_PER_MINUTE` or the limits per address",
    },
    ErrorCodeEntry {
        code: ErrorCode::BudgetExceeded,
        http_status: 429,
        close_reason: None,
        message: "The budget for answers is used up for now.",
        cause: "the limit of the day or of the client address is reached (`retry_after_ms` until midnight UTC), or that of the session (`retryable: false`), or the account at the model server has no credit (402)",
        operator_action: "raise `DAILY_TOKEN_LIMIT`, `DAILY_COST_LIMIT` or the limit per address or session, or add credit at the provider",
    },
    ErrorCodeEntry {
        code: ErrorCode::ContentRejected,
        http_status: 422,
        close_reason: None,
        message: "This question cannot be answered here.",
        cause: "the model server filtered the answer, or `SUSPICIOUS_CONTENT` blocked the question",
        operator_action: "nothing; the log contains the cause under the request id",
    },
    ErrorCodeEntry {
        code: ErrorCode::TurnInProgress,
        http_status: 409,
        close_reason: None,
        message: "Please wait until the current answer is complete.",
        cause: "a question while an answer is running",
        operator_action: "nothing",
    },
    ErrorCodeEntry {
        code: ErrorCode::DuplicateId,
        http_status: 409,
        close_reason: None,
        message: "This id has already been used for another question.",
        cause: "the same `id` with different text, or for another kind of request",
        operator_action: "nothing; the client must generate a new id for every question",
    },
    ErrorCodeEntry {
        code: ErrorCode::NoSuchTurn,
        http_status: 404,
        close_reason: None,
        message: "There is no such question in this conversation.",
        cause: "no turn to cancel, to regenerate, or to rate",
        operator_action: "nothing",
    },
    ErrorCodeEntry {
        code: ErrorCode::SessionNotFound,
        http_status: 404,
        close_reason: None,
        message: "This conversation was not found. Please start a new one.",
        cause: "unknown session, wrong token, or a session that a later connection has taken over",
        operator_action: "nothing; if many occur at once, check that `DATABASE_URL` has not changed",
    },
    ErrorCodeEntry {
        code: ErrorCode::SessionExpired,
        http_status: 410,
        close_reason: None,
        message: "This conversation has expired. Please start a new one.",
        cause: "not used for `SESSION_TTL`",
        operator_action: "if visitors reach it, raise `SESSION_TTL`",
    },
    ErrorCodeEntry {
        code: ErrorCode::ConnectionNotFound,
        http_status: 404,
        close_reason: None,
        message: "The connection has ended. Please connect again.",
        cause: "frames for an event stream that has ended, is unknown, or is open at another instance; open another stream and resume",
        operator_action: "if many occur with several instances, route the requests of a client to one instance",
    },
    ErrorCodeEntry {
        code: ErrorCode::NotAuthorized,
        http_status: 403,
        close_reason: None,
        message: "This is not allowed.",
        cause: "the origin is not allowed to connect, or the request is for an unknown host name (421)",
        operator_action: "add the site to `ALLOWED_ORIGINS`, or the host name to `ALLOWED_HOSTS`",
    },
    ErrorCodeEntry {
        code: ErrorCode::Overloaded,
        http_status: 503,
        close_reason: None,
        message: "The server is busy. Please try again shortly.",
        cause: "no capacity, here or at the model server (429, 503, 529); or a second `history` at the same time",
        operator_action: "raise `MAX_CONNECTIONS` or `LLM_MAX_CONCURRENCY`, or set `LLM_FALLBACK_MODELS`",
    },
    ErrorCodeEntry {
        code: ErrorCode::ApiError,
        http_status: 502,
        close_reason: None,
        message: "The answer could not be generated. Please try again.",
        cause: "the model server returned an error, failed, or closed the connection",
        operator_action: "find `answer failed` in the log, and check the key, the model name, or that server",
    },
    ErrorCodeEntry {
        code: ErrorCode::ApiTimeout,
        http_status: 504,
        close_reason: None,
        message: "The answer took too long. Please try again.",
        cause: "the model server timed out, or returned 408, 504 or 524",
        operator_action: "raise `LLM_FIRST_WORD_TIMEOUT` or `LLM_IDLE_TIMEOUT`, or use a faster model",
    },
    ErrorCodeEntry {
        code: ErrorCode::StorageUnavailable,
        http_status: 503,
        close_reason: None,
        message: "The conversation cannot be saved at the moment. Please try again shortly.",
        cause: "the store failed, rejected the request, or has too many waiting writes",
        operator_action: "check the database; the log and `/health?deep=true` contain the cause",
    },
    ErrorCodeEntry {
        code: ErrorCode::ShuttingDown,
        http_status: 503,
        close_reason: Some(CloseReason::Restarting),
        message: "The server is restarting. Please try again in a moment.",
        cause: "a new question or connection during shutdown",
        operator_action: "nothing; it ends with the restart",
    },
    INTERNAL_ERROR,
];

const INTERNAL_ERROR: ErrorCodeEntry = ErrorCodeEntry {
    code: ErrorCode::InternalError,
    http_status: 500,
    close_reason: Some(CloseReason::InternalError),
    message: "Something went wrong on the server. Please try again.",
    cause: "a bug in this server",
    operator_action: "report it with the log lines that have the request id",
};

impl ErrorCode {
    /// Returns the row of this code.
    #[must_use]
    pub fn entry(self) -> &'static ErrorCodeEntry {
        // A test shows that every code has a row.
        ERROR_CODES.iter().find(|entry| entry.code == self).unwrap_or(&INTERNAL_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::protocol::schema_names;

    #[test]
    fn every_code_has_a_row_in_the_order_of_the_enum() {
        let codes: Vec<ErrorCode> = ERROR_CODES.iter().map(|entry| entry.code).collect();
        assert_eq!(codes, ErrorCode::VARIANTS);
        for code in codes {
            assert_eq!(code.entry().code, code);
            assert!((400..600).contains(&code.entry().http_status), "{code:?}");
        }
    }

    #[test]
    fn names_are_the_same_on_the_wire_and_in_the_schema() {
        let names: Vec<&str> = ErrorCode::VARIANTS.iter().map(|code| code.as_str()).collect();
        assert_eq!(names, schema_names::<ErrorCode>());
        for &code in ErrorCode::VARIANTS {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
