//! Why a request is refused, and what the visitor reads about it.

use std::borrow::Cow;
use std::time::Duration;

use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// The time after which a retry can succeed, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether a retry can succeed at all.
    pub retryable: bool,
    message: Option<Cow<'static, str>>,
}

impl Refusal {
    /// Returns a refusal with the default message of the code.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self { code, retry_after: None, retryable: code.is_retryable(), message: None }
    }

    /// Replaces the default message of the code.
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// Sets the time after which a retry can succeed.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// Returns the message for the visitor.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or(self.code.entry().message)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let Failure { code, retry_after, retryable, message } = failure;
        Self { code, retry_after, retryable, message: message.map(Cow::Borrowed) }
    }
}
