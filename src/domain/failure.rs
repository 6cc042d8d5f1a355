//! The reason why a question was refused or an answer failed.

use std::time::Duration;

use crate::domain::error_code::ErrorCode;

/// Why a question was refused or an answer failed, as reported to the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    /// How long the visitor should wait before trying again, if known.
    pub retry_after: Option<Duration>,
    /// Whether trying again may succeed.
    pub retryable: bool,
    /// A message that replaces the default message of the code.
    pub message: Option<&'static str>,
}

impl Failure {
    /// Returns a failure that may be over after `retry_after`.
    #[must_use]
    pub fn with_retry_after(code: ErrorCode, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::from(code) }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: None, retryable: code.is_retryable(), message: None }
    }
}
