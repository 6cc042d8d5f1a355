//! The values of labels that only metrics use.

use strum::{IntoStaticStr, VariantArray};

use crate::domain::error_code::ErrorCode;

/// The outcome of a request to the model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum UpstreamOutcome {
    /// The answer is complete.
    Answered,
    /// The request was aborted: the visitor cancelled the answer, no client was connected, or this
    /// server shut down.
    Stopped,
    /// The server refused the request or failed.
    Failed,
    /// The server did not respond in time.
    TimedOut,
    /// The server was overloaded.
    Overloaded,
    /// The credit of the API key is exhausted.
    Exhausted,
    /// The server rejected the content.
    Rejected,
}

/// How a request is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum RetryKind {
    SameModel,
    OtherModel,
    ShorterPrompt,
}

/// Why a question was answered with resume excerpts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum DegradedBy {
    /// The circuit breaker was open.
    BreakerOpen,
    /// The model server failed before the first word.
    ModelFailed,
    /// The budget of the day is exhausted.
    BudgetSpent,
}

/// Why the queue for the model rejected a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum QueueRejection {
    /// The queue was full, or its estimated wait was too long.
    Full,
    /// The question waited too long.
    TimedOut,
}

/// The kind of a field that was ignored in a response of the model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum IgnoredField {
    /// A message, or a part of one, that is not JSON.
    Message,
    /// Content that is neither text nor a part with text.
    Content,
    /// A finish reason of another type, or one that belongs to no known family.
    FinishReason,
    /// A number of tokens that is none, or implausible.
    Usage,
    /// A cost that is none, or implausible.
    Cost,
    /// The name of a model that is no text.
    Model,
    /// Choices other than the first, or choices that are none.
    Choice,
    /// Half of a character whose other half never came.
    Character,
    /// A key that occurs twice.
    Duplicate,
}

macro_rules! impl_as_str {
    ($($type:ty),+) => {$(
        impl $type {
            /// Returns the label value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                self.into_str()
            }
        }
    )+};
}

impl_as_str!(UpstreamOutcome, RetryKind, DegradedBy, QueueRejection, IgnoredField);

impl From<ErrorCode> for UpstreamOutcome {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::ApiTimeout => Self::TimedOut,
            ErrorCode::Overloaded => Self::Overloaded,
            ErrorCode::BudgetExceeded => Self::Exhausted,
            ErrorCode::ContentRejected => Self::Rejected,
            _ => Self::Failed,
        }
    }
}
