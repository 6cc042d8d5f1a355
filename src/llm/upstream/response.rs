//! What a stream has said so far, message by message: when it is at work, when it is over, and how it ended.

use std::sync::Arc;

use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::stream::generation::Generation;
use crate::llm::upstream::chunk::{Chunk, ChunkUsage, UpstreamError};
use crate::llm::upstream::completion::{Finish, SourceError};
use crate::llm::upstream::error_class::Fault;
use crate::llm::upstream::generation_cost::MOST_DOLLARS;

/// Characters that are kept of a model's name: more than any has.
const MAX_MODEL_CHARS: usize = 128;

/// One answer being read.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    model: Option<Arc<str>>,
    finish_reason: Option<String>,
    usage: Option<ChunkUsage>,
    error: Option<UpstreamError>,
    /// `[DONE]` came, or nothing more is wanted.
    pub(crate) done: bool,
    /// The model showed since the last look that it is at work.
    pub(crate) progressed: bool,
    /// There is a word.
    pub(crate) begun: bool,
    /// Data messages that were not JSON objects.
    unreadable: u32,
}

impl Answer {
    /// Takes one data message, and appends its text to `generation`.
    pub(crate) fn take(&mut self, data: &str, generation: &Generation) {
        if self.done {
            return;
        }
        if data.trim() == "[DONE]" {
            self.done = true;
            return;
        }
        let Ok(mut chunk) = serde_json::from_str::<Chunk>(data) else {
            self.unreadable += 1;
            return;
        };
        if let Some(error) = chunk.error.take() {
            self.error = Some(error);
            self.done = true;
            return;
        }
        if let Some(delta) = chunk.choice().and_then(|choice| choice.delta.as_ref()) {
            let text = delta.content.as_deref().unwrap_or_default();
            self.begun |= !text.is_empty();
            self.progressed |= !text.is_empty() || delta.is_thinking();
            if !generation.append(text) {
                self.finish_reason = Some("length".to_owned());
                self.done = true;
            }
        }
        // Usage may come in a chunk that repeats the finish: the first one counts.
        if let Some(reason) = chunk.choice().and_then(|choice| choice.finish_reason.as_ref()) {
            self.finish_reason.get_or_insert_with(|| reason.clone());
        }
        self.usage = chunk.usage.or(self.usage);
        if let (None, Some(model)) = (&self.model, chunk.model) {
            // PostgreSQL stores no NUL, and nobody reads a control character.
            let name: String = model.chars().filter(|it| !it.is_control()).take(MAX_MODEL_CHARS).collect();
            self.model = Some(name.into());
        }
    }

    /// Whether the text is whole; usage and `[DONE]` may follow.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// How it ended, when nothing more comes.
    pub(crate) fn into_finish(self) -> Result<Finish, SourceError> {
        if let Some(error) = self.error {
            let fault = Fault::of(None, Some(&error));
            let detail =
                format!("the model's server failed within the stream: {}", fault.describe(Some(&error)));
            return Err(SourceError::new(fault, detail).wishing(error.retry_after(), error.retryable));
        }
        let status = match self.finish_reason.as_deref() {
            Some("length") => TurnStatus::Length,
            Some("content_filter") => {
                return Err(
                    SourceError::new(Fault::Flagged, "the model's server filtered the answer").at_work()
                );
            }
            // Nothing is charged for it.
            Some("error") => return Err(SourceError::new(Fault::Failed, "the model ended with an error")),
            _ => TurnStatus::Complete,
        };
        if !self.begun {
            let unreadable = self.unreadable;
            let detail = format!("the stream ended without a word ({unreadable} messages were not JSON)");
            return Err(SourceError::new(Fault::Empty, detail).at_work());
        }
        if self.finish_reason.is_none() && !self.done {
            let detail = "the stream ended without saying that the answer is whole";
            return Err(SourceError::new(Fault::BrokeOff, detail).at_work());
        }
        let usage = self.usage.map(|usage| Usage {
            prompt_tokens: usage.prompt_tokens.unwrap_or_default(),
            completion_tokens: usage.completion_tokens.unwrap_or_default(),
            cost: usage.cost.filter(|cost| (0.0..=MOST_DOLLARS).contains(cost)),
        });
        Ok(Finish { status, usage, model: self.model, citations: Vec::new() })
    }
}
