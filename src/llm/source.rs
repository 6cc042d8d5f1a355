//! How a source of answers ends one: with a finish, or with an error.

use std::sync::Arc;

use thiserror::Error;

use super::generation::Failure;
use crate::protocol::server::{TurnStatus, Usage};

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
    /// What the visitor is told.
    pub failure: Failure,
    /// What the operator is told.
    pub detail: String,
    /// Whether the source fails whatever it is asked; else it refused this one question.
    pub is_servers_fault: bool,
}

impl SourceError {
    /// There is nobody to ask.
    #[must_use]
    pub fn nobody(failure: Failure) -> Self {
        Self { failure, detail: "nobody is there to answer".to_owned(), is_servers_fault: false }
    }
}
