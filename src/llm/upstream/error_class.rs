//! The kinds of upstream errors, and one table with the reaction to each kind.

use strum::{IntoStaticStr, VariantArray};

use crate::domain::error_code::ErrorCode;
use crate::llm::upstream::error_body::UpstreamError;
use crate::llm::upstream::error_phrases::{self as phrases, starts_with_any};

/// The kind of an upstream error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum UpstreamErrorKind {
    /// The question was sent to no backend.
    NotSent,
    /// The server rejects the request: 400, 422 and others.
    BadRequest,
    /// The prompt has more tokens than the model accepts, by the server's count.
    PromptTooLong,
    /// The question or its answer was refused for its content.
    ContentFiltered,
    /// The API key is not valid: 401.
    InvalidKey,
    /// The account has no credit left: 402.
    OutOfCredit,
    /// The account's daily quota of requests is exhausted.
    DailyQuotaExhausted,
    /// The API key lacks a permission: 403.
    Forbidden,
    /// The model or the address does not exist: 404.
    UnknownModel,
    /// No answer, or no further text, arrived in time: silence, 408, 504, 524.
    TimedOut,
    /// There were too many requests: 429.
    RateLimited,
    /// No provider has capacity: 503, 529.
    Overloaded,
    /// The server failed: 500, 502, and errors without a more specific name.
    ServerError,
    /// No connection could be established.
    Unreachable,
    /// The stream ended in the middle or became unreadable.
    Interrupted,
    /// The server redirects to another address, to which the key is not sent.
    Redirected,
    /// The response is no event stream, but an HTML page or a compressed body.
    NotAStream,
    /// The answer has no text.
    EmptyAnswer,
    /// The model used the whole length of an answer without a word of it: for thinking.
    AnswerLimitUsed,
}

/// The reaction to a kind of error.
#[derive(Clone, Copy, Debug)]
pub struct ErrorPolicy {
    pub kind: UpstreamErrorKind,
    /// The error code that the visitor receives.
    pub code: ErrorCode,
    /// Whether the visitor may succeed by asking again.
    pub retryable_by_visitor: bool,
    /// Whether to retry the same server.
    pub retry_upstream: bool,
    /// Whether to try another of the configured models.
    pub try_other_model: bool,
    /// Whether resume excerpts may replace an answer that has no text yet.
    pub allow_fallback: bool,
    /// Whether another question would probably fail in the same way, so that the circuit breaker
    /// counts the failure. An error that a visitor's own text causes must not block other visitors.
    pub trips_breaker: bool,
}

/// The policy of errors that will happen again: nothing is retried.
const PERMANENT: ErrorPolicy = ErrorPolicy {
    kind: UpstreamErrorKind::BadRequest,
    code: ErrorCode::ApiError,
    retryable_by_visitor: false,
    retry_upstream: false,
    try_other_model: false,
    allow_fallback: false,
    trips_breaker: false,
};

/// The policy of errors that may be over soon: everything is tried.
const TRANSIENT: ErrorPolicy = ErrorPolicy {
    kind: UpstreamErrorKind::ServerError,
    code: ErrorCode::ApiError,
    retryable_by_visitor: true,
    retry_upstream: true,
    try_other_model: true,
    allow_fallback: true,
    trips_breaker: true,
};

/// The policy of errors of the configuration or the account: only the operator can correct them.
const MISCONFIGURED: ErrorPolicy = ErrorPolicy { allow_fallback: true, trips_breaker: true, ..PERMANENT };

/// The policy of each kind of error, in the order of the table in `docs/upstream.md`.
const ERROR_POLICIES: [ErrorPolicy; 19] = {
    use UpstreamErrorKind as Kind;
    [
        ErrorPolicy { kind: Kind::NotSent, retryable_by_visitor: true, ..PERMANENT },
        ErrorPolicy { kind: Kind::BadRequest, ..PERMANENT },
        ErrorPolicy { kind: Kind::PromptTooLong, code: ErrorCode::MessageTooLong, ..PERMANENT },
        ErrorPolicy { kind: Kind::ContentFiltered, code: ErrorCode::ContentRejected, ..PERMANENT },
        ErrorPolicy { kind: Kind::InvalidKey, ..MISCONFIGURED },
        ErrorPolicy {
            kind: Kind::OutOfCredit,
            code: ErrorCode::BudgetExceeded,
            retryable_by_visitor: true,
            ..MISCONFIGURED
        },
        ErrorPolicy {
            kind: Kind::DailyQuotaExhausted,
            code: ErrorCode::BudgetExceeded,
            retryable_by_visitor: true,
            ..MISCONFIGURED
        },
        ErrorPolicy { kind: Kind::Forbidden, try_other_model: true, allow_fallback: true, ..PERMANENT },
        ErrorPolicy { kind: Kind::UnknownModel, try_other_model: true, ..MISCONFIGURED },
        ErrorPolicy { kind: Kind::TimedOut, code: ErrorCode::ApiTimeout, ..TRANSIENT },
        ErrorPolicy { kind: Kind::RateLimited, code: ErrorCode::Overloaded, ..TRANSIENT },
        ErrorPolicy { kind: Kind::Overloaded, code: ErrorCode::Overloaded, ..TRANSIENT },
        ErrorPolicy { kind: Kind::ServerError, ..TRANSIENT },
        ErrorPolicy { kind: Kind::Unreachable, try_other_model: false, ..TRANSIENT },
        ErrorPolicy { kind: Kind::Interrupted, ..TRANSIENT },
        ErrorPolicy { kind: Kind::Redirected, ..MISCONFIGURED },
        ErrorPolicy { kind: Kind::NotAStream, ..MISCONFIGURED },
        ErrorPolicy { kind: Kind::EmptyAnswer, ..TRANSIENT },
        // Another request would cost as much and end in the same way.
        ErrorPolicy { kind: Kind::AnswerLimitUsed, ..PERMANENT },
    ]
};

impl UpstreamErrorKind {
    /// Returns the name of the kind in the log and in health reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Returns the reaction to an error of this kind.
    #[must_use]
    pub fn policy(self) -> &'static ErrorPolicy {
        ERROR_POLICIES.iter().find(|policy| policy.kind == self).unwrap_or(&PERMANENT)
    }

    /// Classifies an error response or an error within a stream: by its name, otherwise by its
    /// words and its status.
    #[must_use]
    pub fn classify(status: Option<u16>, error: Option<&UpstreamError>) -> Self {
        let status = error.and_then(UpstreamError::status).or(status);
        let message = error.and_then(|error| error.message.as_deref()).unwrap_or_default();
        if starts_with_any(message, &phrases::DAILY_QUOTA) {
            return Self::DailyQuotaExhausted;
        }
        // A prompt that is too large stays so, whatever limit it exceeds.
        if status == Some(413) {
            return Self::PromptTooLong;
        }
        let named = error.and_then(|error| error.names().find_map(Self::from_name));
        // A name that says no more than that something failed leaves the decision to the words.
        if let Some(kind) = named.filter(|kind| *kind != Self::ServerError) {
            return kind;
        }
        let status = status.unwrap_or(500);
        if matches!(status, 400..=404 | 406..=422 | 500) {
            let lower = message.to_lowercase();
            if phrases::CONTEXT_OVERFLOW.iter().any(|phrase| lower.contains(phrase))
                && !lower.contains("per minute")
            {
                return Self::PromptTooLong;
            }
        }
        let by_words = [
            (400..=403, Self::InvalidKey, &phrases::INVALID_KEY[..]),
            (400..=500, Self::OutOfCredit, &phrases::OUT_OF_CREDIT),
            (400..=403, Self::ContentFiltered, &phrases::REFUSED_CONTENT),
            (400..=503, Self::UnknownModel, &phrases::UNKNOWN_MODEL),
            (500..=500, Self::Overloaded, &phrases::OVERLOADED),
        ];
        let by_words = by_words
            .into_iter()
            .find(|(statuses, _, phrases)| statuses.contains(&status) && starts_with_any(message, phrases));
        if let Some((_, kind, _)) = by_words {
            return kind;
        }
        if let Some(kind) = named {
            return kind;
        }
        match status {
            401 => Self::InvalidKey,
            402 => Self::OutOfCredit,
            403 if error.is_some_and(|error| error.is_flagged) => Self::ContentFiltered,
            403 | 407 => Self::Forbidden,
            404 => Self::UnknownModel,
            408 | 504 | 524 => Self::TimedOut,
            429 => Self::RateLimited,
            503 | 529 | 498 => Self::Overloaded,
            300..=399 => Self::Redirected,
            400..=499 => Self::BadRequest,
            _ => Self::ServerError,
        }
    }

    /// Returns the kind of an error with this name, whatever its case.
    fn from_name(name: &str) -> Option<Self> {
        let name: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        Some(match name.as_str() {
            "contextlengthexceeded"
            | "exceedcontextsizeerror"
            | "contextwindowexceedederror"
            | "stringabovemaxlength" => Self::PromptTooLong,
            "contentfilter"
            | "contentpolicyviolation"
            | "responsibleaipolicyviolation"
            | "datainspectionfailed"
            | "contentpolicyviolationerror"
            | "moderation"
            | "contentfiltered" => Self::ContentFiltered,
            "invalidapikey"
            | "authenticationerror"
            | "apikeyinvalid"
            | "unauthenticated"
            | "incorrectapikey"
            | "invalidauthenticationerror"
            | "invalidapikeyerror"
            // LiteLLM without a database, which knows one key only.
            | "nodbconnection"
            | "unauthorized" => Self::InvalidKey,
            "paymentrequired"
            | "insufficientquota"
            | "billinghardlimitreached"
            | "insufficientbalance"
            | "insufficientbalanceerror"
            | "budgetexceeded"
            | "exceededcurrentquotaerror"
            | "arrearage"
            | "billingnotactive"
            | "insufficientcredits" => Self::OutOfCredit,
            "modelnotfound" | "modelnotfounderror" | "deploymentnotfound" | "invalidmodel"
            | "modelnotexist" => Self::UnknownModel,
            "timeout" | "timeouterror" | "requesttimeout" => Self::TimedOut,
            "ratelimitexceeded"
            | "ratelimiterror"
            | "resourceexhausted"
            | "toomanyrequests"
            | "ratelimitreachederror"
            | "throttlingerror"
            | "throttling"
            | "ratelimited" => Self::RateLimited,
            "providerunavailable"
            | "provideroverloaded"
            | "overloadederror"
            | "overloaded"
            | "serviceunavailable"
            | "engineoverloadederror"
            | "unavailable"
            | "capacityexceeded"
            | "unavailableerror" => Self::Overloaded,
            "server" | "servererror" | "internalservererror" | "internal" => Self::ServerError,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::upstream::json::Json;

    fn classify(status: u16, json: &str) -> UpstreamErrorKind {
        UpstreamErrorKind::classify(Some(status), Some(&UpstreamError::read(&Json::read_all(json).values[0])))
    }

    #[test]
    fn name_takes_precedence_over_status_and_inner_status_over_outer_status() {
        use UpstreamErrorKind as Kind;
        for (status, json, kind) in [
            (400, r#"{"code":"context_length_exceeded"}"#, Kind::PromptTooLong),
            (400, r#"{"code":400,"metadata":{"error_type":"context_length_exceeded"}}"#, Kind::PromptTooLong),
            (400, r#"{"code":400,"type":"exceed_context_size_error"}"#, Kind::PromptTooLong),
            (400, r#"{"message":"This model's maximum context length is 8192 tokens"}"#, Kind::PromptTooLong),
            (400, r#"{"message":"no"}"#, Kind::BadRequest),
            (400, r#"{"message":"acme/x is not a valid model ID"}"#, Kind::UnknownModel),
            (
                400,
                r#"{"message":"/chat/completions: Invalid model name passed in model=x"}"#,
                Kind::UnknownModel,
            ),
            (400, r#"{"message":"litellm.ContextWindowExceededError: no"}"#, Kind::PromptTooLong),
            (429, r#"{"code":"insufficient_quota"}"#, Kind::OutOfCredit),
            (
                429,
                r#"{"code":429,"message":"Rate limit exceeded: free-models-per-day"}"#,
                Kind::DailyQuotaExhausted,
            ),
            (
                403,
                r#"{"code":403,"metadata":{"reasons":["hate"],"flagged_input":"x"}}"#,
                Kind::ContentFiltered,
            ),
            (403, r#"{"code":403,"message":"Key limit exceeded"}"#, Kind::Forbidden),
            (200, r#"{"code":"server_error"}"#, Kind::ServerError),
            (200, r#"{"code":"524"}"#, Kind::TimedOut),
            (200, r#"{"code":502,"metadata":{"error_type":"provider_overloaded"}}"#, Kind::Overloaded),
            (200, r#""model not loaded""#, Kind::ServerError),
            (
                400,
                r#"{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}"#,
                Kind::InvalidKey,
            ),
            (
                400,
                r#"{"code":"invalid-argument","message":"Incorrect API key provided: xa***"}"#,
                Kind::InvalidKey,
            ),
            (
                400,
                r#"{"type":"invalid_request_error","message":"Your credit balance is too low"}"#,
                Kind::OutOfCredit,
            ),
            (400, r#"{"message":"prompt is too long: 210000 tokens > 200000 maximum"}"#, Kind::PromptTooLong),
            (
                400,
                r#"{"message":"Content Exists Risk","code":"invalid_request_error"}"#,
                Kind::ContentFiltered,
            ),
            (500, r#"{"message":"model is overloaded"}"#, Kind::Overloaded),
            (
                413,
                r#"{"message":"Request too large for model `x` on tokens per minute (TPM)","code":"rate_limit_exceeded"}"#,
                Kind::PromptTooLong,
            ),
            (
                500,
                r#"{"code":500,"message":"Context size has been exceeded.","type":"server_error"}"#,
                Kind::PromptTooLong,
            ),
            (500, r#"{"type":"api_error","message":"insufficient balance (1008)"}"#, Kind::OutOfCredit),
            (400, r#"{"type":"budget_exceeded","code":"400"}"#, Kind::OutOfCredit),
            (
                400,
                r#"{"message":"litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException"}"#,
                Kind::ContentFiltered,
            ),
            (400, r#"{"message":"max_tokens must be at least 1, got -186."}"#, Kind::PromptTooLong),
            (418, "{}", Kind::BadRequest),
            (307, "{}", Kind::Redirected),
        ] {
            assert_eq!(classify(status, json), kind, "{status} {json}");
        }
        assert_eq!(UpstreamErrorKind::classify(None, None), Kind::ServerError);
    }

    #[test]
    fn documented_words_mean_that_the_prompt_is_too_long() {
        let page = include_str!("../../../docs/upstream.md");
        let (_, table) = page.split_once("### Words for a prompt that is too long").unwrap();
        let rows = table.lines().take_while(|line| !line.starts_with("## "));
        let words: Vec<&str> = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        assert!(words.len() >= 10, "{words:?}");
        for words in words {
            let error = UpstreamError::from_text(words);
            assert_eq!(
                UpstreamErrorKind::classify(Some(400), Some(&error)),
                UpstreamErrorKind::PromptTooLong,
                "{words}"
            );
        }
    }

    #[test]
    fn every_kind_has_one_policy() {
        let kinds = ERROR_POLICIES.map(|policy| policy.kind);
        assert_eq!(kinds.as_slice(), UpstreamErrorKind::VARIANTS);
    }

    #[test]
    fn errors_that_will_happen_again_are_not_retried() {
        use UpstreamErrorKind as Kind;
        for kind in [
            Kind::BadRequest,
            Kind::PromptTooLong,
            Kind::ContentFiltered,
            Kind::InvalidKey,
            Kind::OutOfCredit,
            Kind::DailyQuotaExhausted,
            Kind::Forbidden,
        ] {
            assert!(!kind.policy().retry_upstream, "{kind:?}");
        }
    }

    #[test]
    fn policies_are_consistent() {
        for policy in &ERROR_POLICIES {
            let ErrorPolicy { kind, retryable_by_visitor, retry_upstream, allow_fallback, .. } = *policy;
            assert!(!retry_upstream || retryable_by_visitor, "what is retried, visitors may retry: {kind:?}");
            assert!(!policy.trips_breaker || allow_fallback, "an open breaker implies fallback: {kind:?}");
        }
    }
}
