//! The one table of error codes: what is on the wire, what visitors are told, what clients and operators can do.
//!
//! The frames, the refusals over HTTP, `docs/api_reference.md` and the API documents are all made from it or checked
//! against it.

use crate::domain::error_code::ErrorCode;
pub use crate::protocol::close_codes::{CloseEntry, CloseReason};

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
                    "The request is invalid.",
                    "malformed or empty, or not allowed in the current state",
                    "nothing; the message helps the author of the client",
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
                    "more than 2,000 characters, or more tokens than fit next to the resume",
                    "if short questions are rejected, raise `MAX_CONTEXT_TOKENS` or shorten the resume",
                ],
            ),
            Self::RateLimitExceeded => entry(
                self,
                "RATE_LIMIT_EXCEEDED",
                429,
                true,
                None,
                [
                    "Too many questions. Please wait a moment.",
                    "a rate limit of the session or of the client address is reached; with `retry_after_ms`",
                    "if visitors reach it, raise `RATE_LIMIT_REQUESTS_PER_MINUTE` or the limits per address",
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
                    "the limit of the day or of the client address is reached (`retry_after_ms` until midnight UTC), or that of the session (`retryable: false`), or the account at the model server has no credit (402)",
                    "raise `DAILY_TOKEN_LIMIT`, `DAILY_COST_LIMIT` or the limit per address or session, or add credit at the provider",
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
                    "the model server filtered the answer, or `SUSPICIOUS_CONTENT` blocked the question",
                    "nothing; the log contains the cause under the request id",
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
                    "a question while an answer is running",
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
                    "This id has already been used for another question.",
                    "the same `id` with different text, or for another kind of request",
                    "nothing; the client must generate a new id for every question",
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
                    "no turn to cancel, to regenerate, or to rate",
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
                    "unknown session, wrong token, or a session that a later connection has taken over",
                    "nothing; if many occur at once, check that `DATABASE_URL` has not changed",
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
                    "if visitors reach it, raise `SESSION_TTL`",
                ],
            ),
            Self::NotAuthorized => entry(
                self,
                "NOT_AUTHORIZED",
                403,
                false,
                None,
                [
                    "This is not allowed.",
                    "the origin is not allowed to connect",
                    "add the site to `ALLOWED_ORIGINS`",
                ],
            ),
            Self::Overloaded => entry(
                self,
                "OVERLOADED",
                503,
                true,
                None,
                [
                    "The server is busy. Please try again shortly.",
                    "no capacity, here or at the model server (429, 503, 529); or a second `history` at the same time",
                    "raise `MAX_CONNECTIONS` or `LLM_MAX_CONCURRENCY`, or set `LLM_FALLBACK_MODELS`",
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
                    "the model server returned an error, failed, or closed the connection",
                    "find `the answer failed` in the log, and check the key, the model name, or that server",
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
                    "the model server timed out, or returned 408, 504 or 524",
                    "raise `LLM_FIRST_WORD_TIMEOUT` or `LLM_IDLE_TIMEOUT`, or use a faster model",
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
                    "the store failed, rejected the request, or has too many waiting writes",
                    "check the database; the log and `/health?deep=true` contain the cause",
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
                    "a new question or connection during shutdown",
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
                    "a bug in this server",
                    "report it with the log lines that have the request id",
                ],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::variants;
    use strum::VariantArray;

    #[test]
    fn every_code_has_its_row_under_its_name_on_the_wire() {
        let names: Vec<String> =
            ErrorCode::VARIANTS.iter().map(|code| code.entry().name.to_owned()).collect();
        assert_eq!(names, variants::<ErrorCode>());
        for &code in ErrorCode::VARIANTS {
            assert_eq!(serde_json::to_value(code).unwrap(), code.entry().name);
            assert_eq!(code.entry().code, code);
            assert!((400..600).contains(&code.entry().http_status), "{code:?}");
        }
    }
}
