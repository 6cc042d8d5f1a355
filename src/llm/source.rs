//! Who answers: a model's server, or the resume itself.

use std::sync::Arc;

use thiserror::Error;

use super::excerpts::Excerpts;
use super::generation::{Failure, Generation};
use super::prompt::Prompt;
use super::upstream::UpstreamClient;
use crate::protocol::server::{AnswerMode, TurnStatus, Usage};

/// Gives answers by appending to a generation. Cheap to clone.
#[derive(Clone, Debug)]
pub enum AnswerSource {
    /// An OpenAI-compatible server.
    Upstream(Arc<UpstreamClient>),
    /// Passages of the resume.
    Excerpts(Arc<Excerpts>),
}

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
}

impl AnswerSource {
    /// How its answers are labelled.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        match self {
            Self::Upstream(_) => AnswerMode::Live,
            Self::Excerpts(_) => AnswerMode::Excerpts,
        }
    }

    /// Appends the answer to `prompt` to `generation`. Dropping the future stops the source at once.
    ///
    /// # Errors
    /// [`SourceError`]; what was appended until then stays.
    pub async fn answer(&self, prompt: &Prompt, generation: &Generation) -> Result<Finish, SourceError> {
        match self {
            Self::Upstream(client) => client.answer(prompt, generation).await,
            Self::Excerpts(excerpts) => Ok(excerpts.answer(prompt, generation).await),
        }
    }
}
