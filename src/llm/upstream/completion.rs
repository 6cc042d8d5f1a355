//! How a source of answers ends one: with a finish, or with an error.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::domain::failure::Failure;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::resilience::retry::Failed;
use crate::llm::upstream::error_class::Fault;

/// How a source ended an answer.
#[derive(Debug)]
pub struct Finish {
    /// `Complete` or `Length`.
    pub status: TurnStatus,
    /// What it took, when the source counts.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<Arc<str>>,
    /// Sections that were quoted.
    pub citations: Vec<String>,
}

/// The source could not give the answer, or not to its end.
#[derive(Debug, Error)]
#[error("{detail}")]
pub struct SourceError {
    /// What went wrong.
    pub fault: Fault,
    /// What the visitor is told.
    pub failure: Failure,
    /// Whether the server itself said that asking again helps.
    pub says_again: Option<bool>,
    /// Whether the server had begun to work, so that it may charge for this.
    pub may_be_charged: bool,
    /// What the operator is told.
    pub detail: String,
}

impl SourceError {
    /// A failure of a server, with what the table says follows from it.
    #[must_use]
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        let it = fault.consequences();
        let failure = Failure { retryable: it.retryable, ..Failure::from(it.code) };
        Self { fault, failure, says_again: None, may_be_charged: false, detail: detail.into() }
    }

    /// The same, knowing what the server wishes.
    #[must_use]
    pub fn wishing(mut self, retry_after: Option<Duration>, says_again: Option<bool>) -> Self {
        self.failure.retry_after = retry_after;
        self.failure.retryable = says_again.unwrap_or(self.failure.retryable);
        self.says_again = says_again;
        self
    }

    /// The same, of a server that had begun to work.
    #[must_use]
    pub fn at_work(self) -> Self {
        Self { may_be_charged: true, ..self }
    }

    /// Nobody is there to answer.
    #[must_use]
    pub fn nobody(failure: Failure) -> Self {
        Self { failure, ..Self::new(Fault::NotAsked, "nobody is there to answer") }
    }

    /// What it tells about asking again.
    #[must_use]
    pub fn failed(&self) -> Failed {
        Failed { fault: self.fault, says_again: self.says_again, retry_after: self.failure.retry_after }
    }
}
