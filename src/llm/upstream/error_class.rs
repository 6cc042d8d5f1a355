//! What goes wrong with a model's server, and what follows from it: the one table.

use crate::domain::error_code::ErrorCode;
use crate::llm::upstream::chunk::UpstreamError;

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody was asked.
    NotAsked,
    /// The server does not understand the request, or not like it: 400, 422 and others.
    BadRequest,
    /// The prompt has more tokens than the model takes, by the server's count.
    PromptTooLong,
    /// The question or its answer was refused for its content.
    Flagged,
    /// The key is not valid: 401.
    WrongKey,
    /// The account cannot pay: 402.
    OutOfCredit,
    /// The account's requests of the day are used up.
    DayIsSpent,
    /// The key may not do this: 403.
    Forbidden,
    /// There is no such model, or no such address: 404.
    UnknownModel,
    /// No answer, or no further word, in time: silence, 408, 504, 524.
    TimedOut,
    /// Too many requests: 429.
    RateLimited,
    /// Nobody there can take it: 503, 529.
    Overloaded,
    /// The server failed: 500, 502, and errors without a better name.
    Failed,
    /// No connection.
    Unreachable,
    /// The stream ended in the middle, or could not be read on.
    BrokeOff,
    /// The server points to another address, to which the key is not sent.
    Redirected,
    /// What came is no stream: a page of HTML, a compressed body.
    NoStream,
    /// The answer had no words.
    Empty,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug)]
pub struct Consequences {
    /// What the visitor is told.
    pub code: ErrorCode,
    /// Whether the visitor's asking again may help.
    pub retryable: bool,
    /// Whether to ask the same server again.
    pub again: bool,
    /// Whether to ask another of the configured models.
    pub other_model: bool,
    /// Whether the resume may answer instead, if there is no word yet.
    pub instead: bool,
    /// Whether another question would probably fare the same, so that the breaker counts it. What a visitor's own words
    /// bring about must not keep the model from the others.
    pub counts: bool,
}

impl Fault {
    /// Every fault of a server, in the order of the table in `docs/upstream.md`.
    pub const ALL: [Self; 17] = [
        Self::BadRequest,
        Self::PromptTooLong,
        Self::Flagged,
        Self::WrongKey,
        Self::OutOfCredit,
        Self::DayIsSpent,
        Self::Forbidden,
        Self::UnknownModel,
        Self::TimedOut,
        Self::RateLimited,
        Self::Overloaded,
        Self::Failed,
        Self::Unreachable,
        Self::BrokeOff,
        Self::Redirected,
        Self::NoStream,
        Self::Empty,
    ];

    /// What follows from it.
    #[must_use]
    pub fn consequences(self) -> Consequences {
        use ErrorCode as Code;
        const NO: bool = false;
        const YES: bool = true;
        let row = |code, [retryable, again, other_model, instead, counts]: [bool; 5]| Consequences {
            code,
            retryable,
            again,
            other_model,
            instead,
            counts,
        };
        match self {
            //                                             retryable, again, other model, instead, counts
            Self::NotAsked => row(Code::ApiError, [YES, NO, NO, NO, NO]),
            Self::BadRequest => row(Code::ApiError, [NO, NO, NO, NO, NO]),
            Self::PromptTooLong => row(Code::MessageTooLong, [NO, NO, NO, NO, NO]),
            Self::Flagged => row(Code::ContentRejected, [NO, NO, NO, NO, NO]),
            Self::WrongKey => row(Code::ApiError, [NO, NO, NO, YES, YES]),
            Self::OutOfCredit | Self::DayIsSpent => row(Code::BudgetExceeded, [YES, NO, NO, YES, YES]),
            Self::Forbidden => row(Code::ApiError, [NO, NO, YES, YES, NO]),
            Self::UnknownModel => row(Code::ApiError, [NO, NO, YES, YES, YES]),
            Self::TimedOut => row(Code::ApiTimeout, [YES, YES, YES, YES, YES]),
            Self::RateLimited | Self::Overloaded => row(Code::Overloaded, [YES, YES, YES, YES, YES]),
            Self::Failed | Self::BrokeOff | Self::Empty => row(Code::ApiError, [YES, YES, YES, YES, YES]),
            Self::Unreachable => row(Code::ApiError, [YES, YES, NO, YES, YES]),
            Self::Redirected | Self::NoStream => row(Code::ApiError, [NO, NO, NO, YES, YES]),
        }
    }

    /// What the operator should read of it: what the server says, unless that may quote the prompt.
    #[must_use]
    pub fn describe(self, error: Option<&UpstreamError>) -> String {
        match error {
            _ if self.may_quote() => "its explanation may quote the prompt and is not logged".to_owned(),
            Some(error) => error.describe(),
            None => "no readable explanation".to_owned(),
        }
    }

    /// What a refusal, or an error within a stream, is about: by the names it gives itself, else by its status.
    #[must_use]
    pub fn of(status: Option<u16>, error: Option<&UpstreamError>) -> Self {
        let status = error.and_then(UpstreamError::status).or(status);
        let message = error.and_then(|error| error.message.as_deref()).unwrap_or_default();
        if message.contains("free-models-per-day") {
            return Self::DayIsSpent;
        }
        let named = error.and_then(|error| error.names().find_map(Self::named));
        if let Some(named) = named {
            return named;
        }
        match status.unwrap_or(500) {
            413 => Self::PromptTooLong,
            400 | 422 | 500 if speaks_of_the_context(message) => Self::PromptTooLong,
            400 if speaks_of_the_model(message) => Self::UnknownModel,
            401 => Self::WrongKey,
            402 => Self::OutOfCredit,
            403 if error.is_some_and(|error| error.is_flagged) => Self::Flagged,
            403 | 407 => Self::Forbidden,
            404 => Self::UnknownModel,
            408 | 504 | 524 => Self::TimedOut,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            300..=399 => Self::Redirected,
            400..=499 => Self::BadRequest,
            _ => Self::Failed,
        }
    }

    /// Whether what the server says of it may quote the request, and with it what a visitor asked.
    const fn may_quote(self) -> bool {
        matches!(self, Self::BadRequest | Self::PromptTooLong | Self::Flagged)
    }

    /// The fault of this name, as OpenRouter, OpenAI and servers that follow them call it.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "context_length_exceeded" | "exceed_context_size_error" => Self::PromptTooLong,
            "content_filter" | "content_policy_violation" => Self::Flagged,
            "invalid_api_key" | "authentication_error" => Self::WrongKey,
            "payment_required" | "insufficient_quota" => Self::OutOfCredit,
            "model_not_found" => Self::UnknownModel,
            "timeout" => Self::TimedOut,
            "rate_limit_exceeded" | "rate_limit_error" => Self::RateLimited,
            "provider_unavailable" | "provider_overloaded" | "overloaded_error" => Self::Overloaded,
            "server" | "server_error" => Self::Failed,
            _ => return None,
        })
    }
}

/// Servers without names for it say it in a sentence.
fn speaks_of_the_context(message: &str) -> bool {
    let message = message.to_lowercase();
    ["context length", "context window", "context size", "contextwindow"]
        .iter()
        .any(|words| message.contains(words))
}

/// OpenRouter and LiteLLM call a model that they do not know a bad request. Only the beginning counts: further on, a
/// message may quote what a visitor wrote.
fn speaks_of_the_model(message: &str) -> bool {
    let beginning: String = message.to_lowercase().chars().take(80).collect();
    ["invalid model name", "not a valid model", "model not found"]
        .iter()
        .any(|words| beginning.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, json: &str) -> Fault {
        Fault::of(Some(status), Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn a_name_says_more_than_a_status_and_a_status_within_more_than_the_outer_one() {
        for (status, json, fault) in [
            (400, r#"{"code":"context_length_exceeded"}"#, Fault::PromptTooLong),
            (
                400,
                r#"{"code":400,"metadata":{"error_type":"context_length_exceeded"}}"#,
                Fault::PromptTooLong,
            ),
            (400, r#"{"code":400,"type":"exceed_context_size_error"}"#, Fault::PromptTooLong),
            (
                400,
                r#"{"message":"This model's maximum context length is 8192 tokens"}"#,
                Fault::PromptTooLong,
            ),
            (400, r#"{"message":"no"}"#, Fault::BadRequest),
            (400, r#"{"message":"acme/x is not a valid model ID"}"#, Fault::UnknownModel),
            (
                400,
                r#"{"message":"/chat/completions: Invalid model name passed in model=x"}"#,
                Fault::UnknownModel,
            ),
            (400, r#"{"message":"litellm.ContextWindowExceededError: no"}"#, Fault::PromptTooLong),
            (429, r#"{"code":"insufficient_quota"}"#, Fault::OutOfCredit),
            (429, r#"{"code":429,"message":"Rate limit exceeded: free-models-per-day"}"#, Fault::DayIsSpent),
            (403, r#"{"code":403,"metadata":{"reasons":["hate"],"flagged_input":"x"}}"#, Fault::Flagged),
            (403, r#"{"code":403,"message":"Key limit exceeded"}"#, Fault::Forbidden),
            (200, r#"{"code":"server_error"}"#, Fault::Failed),
            (200, r#"{"code":"524"}"#, Fault::TimedOut),
            (200, r#"{"code":502,"metadata":{"error_type":"provider_overloaded"}}"#, Fault::Overloaded),
            (200, r#""model not loaded""#, Fault::Failed),
            (418, "{}", Fault::BadRequest),
            (307, "{}", Fault::Redirected),
        ] {
            assert_eq!(of(status, json), fault, "{status} {json}");
        }
        assert_eq!(Fault::of(None, None), Fault::Failed);
    }

    #[test]
    fn nothing_is_asked_again_that_will_fare_the_same() {
        use Fault::{BadRequest, DayIsSpent, Flagged, Forbidden, OutOfCredit, PromptTooLong, WrongKey};
        for fault in [BadRequest, PromptTooLong, Flagged, WrongKey, OutOfCredit, DayIsSpent, Forbidden] {
            assert!(!fault.consequences().again, "{fault:?}");
        }
        for fault in Fault::ALL {
            let it = fault.consequences();
            assert!(!it.again || it.retryable, "what we try again a visitor may: {fault:?}");
            assert!(!it.counts || it.instead, "what opens the breaker is answered by quotes: {fault:?}");
        }
    }
}
