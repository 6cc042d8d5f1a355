//! How a response ended: with a completion or with an error.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::domain::failure::Failure;
use crate::domain::turn::TurnStatus;
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::streaming::ignored::IgnoredFields;

/// The usage of one request, as far as upstream reported it plausibly. Zero counts as absent: a
/// request has a prompt, and an answer has a word.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReportedUsage {
    /// Tokens of the prompt, by the model's count.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer and of the thinking before it.
    pub completion_tokens: Option<u32>,
    /// The cost in US dollars.
    pub cost: Option<f64>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Completion {
    /// `Complete` or `Length`.
    pub status: TurnStatus,
    /// What upstream reported about the usage.
    pub usage: ReportedUsage,
    /// The model that answered, if one did.
    pub model: Option<Arc<str>>,
    /// The titles of the resume sections that were quoted.
    pub citations: Vec<String>,
    /// The odd fields of the response.
    pub ignored: IgnoredFields,
}

impl Completion {
    /// Returns the completion of an answer that quotes the resume.
    #[must_use]
    pub fn from_excerpts(citations: Vec<String>) -> Self {
        Self {
            status: TurnStatus::Complete,
            usage: ReportedUsage::default(),
            model: None,
            citations,
            ignored: IgnoredFields::default(),
        }
    }
}

/// The answer could not be generated, or not to its end.
#[derive(Debug, Error)]
#[error("{detail}")]
pub struct CompletionError {
    pub kind: UpstreamErrorKind,
    /// The failure that is reported to the visitor.
    pub failure: Failure,
    /// Whether a retry helps, if upstream said so itself.
    pub upstream_retryable: Option<bool>,
    /// Whether upstream had started to generate, so that it may charge for the request.
    pub may_be_charged: bool,
    /// What upstream reported about the usage of the failed request.
    pub usage: ReportedUsage,
    /// The odd fields of the response.
    pub ignored: IgnoredFields,
    /// What distinguishes a refusal from others of its kind: the code and the parameter that
    /// upstream names. `None` if it names neither.
    pub identity: Option<Arc<str>>,
    /// The cause, for the operator.
    pub detail: Box<str>,
}

impl CompletionError {
    /// Returns an error with the failure that [`UpstreamErrorKind::policy`] prescribes.
    #[must_use]
    pub fn new(kind: UpstreamErrorKind, detail: impl Into<String>) -> Self {
        let policy = kind.policy();
        let failure = Failure { retryable: policy.retryable_by_visitor, ..Failure::from(policy.code) };
        Self {
            kind,
            failure,
            upstream_retryable: None,
            may_be_charged: false,
            usage: ReportedUsage::default(),
            ignored: IgnoredFields::default(),
            identity: None,
            detail: detail.into().into_boxed_str(),
        }
    }

    /// Returns the error of a question that was sent to no backend.
    #[must_use]
    pub fn not_sent(failure: Failure) -> Self {
        Self { failure, ..Self::new(UpstreamErrorKind::NotSent, "no backend is available to answer") }
    }

    /// Adds what upstream said about retries.
    #[must_use]
    pub fn with_retry_advice(mut self, retry_after: Option<Duration>, retryable: Option<bool>) -> Self {
        self.failure.retry_after = retry_after;
        self.failure.retryable = retryable.unwrap_or(self.failure.retryable);
        self.upstream_retryable = retryable;
        self
    }

    /// Marks the error as one that occurred after upstream had started to generate.
    #[must_use]
    pub fn after_start(self) -> Self {
        Self { may_be_charged: true, ..self }
    }
}
