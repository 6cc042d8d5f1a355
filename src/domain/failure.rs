//! The reason why a request was refused or an answer failed.

use std::time::Duration;

use crate::domain::error_code::ErrorCode;

/// Why a question was not taken or an answer failed, as the visitor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: ErrorCode,
    /// After how long to try again, when that is known.
    pub retry_after: Option<Duration>,
    /// Whether trying again may help.
    pub retryable: bool,
    /// What to say instead of the code's own sentence.
    pub saying: Option<&'static str>,
}

impl Failure {
    /// A failure that may be over after `retry_after`.
    #[must_use]
    pub fn after(code: ErrorCode, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::from(code) }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: None, retryable: code.is_retryable(), saying: None }
    }
}
