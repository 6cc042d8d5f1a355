//! The state of a streamed response: whether it makes progress, whether it is whole, how it ended.

use std::sync::Arc;

use crate::domain::turn::TurnStatus;
use crate::llm::upstream::account::generation_cost::MAX_COST_DOLLARS;
use crate::llm::upstream::completion::{Completion, CompletionError, ReportedUsage};
use crate::llm::upstream::error_class::UpstreamErrorKind;
use crate::llm::upstream::streaming::chunk::{Chunk, ChunkUsage, UpstreamError};
use crate::llm::upstream::streaming::sink::AnswerSink;

/// The maximum number of characters kept of a model's name; no real name is longer.
const MAX_MODEL_CHARS: usize = 128;

/// A response that is being read.
#[derive(Debug, Default)]
pub(crate) struct ResponseState {
    model: Option<Arc<str>>,
    finish_reason: Option<String>,
    usage: Option<ChunkUsage>,
    error: Option<UpstreamError>,
    /// `[DONE]` has arrived, or the rest of the response is not needed.
    pub(crate) is_done: bool,
    /// Text or reasoning has arrived since the flag was cleared.
    pub(crate) has_progressed: bool,
    /// The response has text.
    pub(crate) has_text: bool,
    /// The number of messages that were not JSON objects.
    unreadable_messages: u32,
}

impl ResponseState {
    /// Processes the data of one event and appends its text to `sink`.
    pub(crate) fn on_message<S: AnswerSink>(&mut self, data: &str, sink: &S) {
        if self.is_done {
            return;
        }
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return;
        }
        let Ok(mut chunk) = serde_json::from_str::<Chunk>(data) else {
            self.unreadable_messages += 1;
            return;
        };
        if let Some(error) = chunk.error.take() {
            self.error = Some(error);
            self.is_done = true;
            return;
        }
        if let Some(delta) = chunk.choice().and_then(|choice| choice.delta.as_ref()) {
            let text = delta.content.as_deref().unwrap_or_default();
            self.has_text |= !text.is_empty();
            self.has_progressed |= !text.is_empty() || delta.has_reasoning();
            if !sink.append(text) {
                self.finish_reason = Some("length".to_owned());
                self.is_done = true;
            }
        }
        // A chunk with usage may repeat the finish reason: the first one counts.
        if let Some(reason) = chunk.choice().and_then(|choice| choice.finish_reason.as_ref()) {
            self.finish_reason.get_or_insert_with(|| reason.clone());
        }
        self.usage = chunk.usage.or(self.usage);
        if let (None, Some(model)) = (&self.model, chunk.model) {
            // PostgreSQL cannot store NUL characters, and control characters are unreadable.
            let printable = model.chars().filter(|character| !character.is_control());
            self.model = Some(printable.take(MAX_MODEL_CHARS).collect::<String>().into());
        }
    }

    /// Returns whether the text is whole. Usage and `[DONE]` may follow.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Returns how the response ended.
    pub(crate) fn into_completion(self) -> Result<Completion, CompletionError> {
        if let Some(error) = self.error {
            let kind = UpstreamErrorKind::classify(None, Some(&error));
            let detail =
                format!("the model server failed within the stream: {}", kind.describe(Some(&error)));
            let failed = CompletionError::new(kind, detail);
            return Err(failed.with_retry_advice(error.retry_after(), error.retryable));
        }
        let status = match self.finish_reason.as_deref() {
            Some("length") => TurnStatus::Length,
            Some("content_filter") => {
                let detail = "the model server filtered the answer";
                return Err(CompletionError::new(UpstreamErrorKind::ContentFiltered, detail).after_start());
            }
            // Upstream does not charge for it.
            Some("error") => {
                let detail = "the model ended with an error";
                return Err(CompletionError::new(UpstreamErrorKind::ServerError, detail));
            }
            _ => TurnStatus::Complete,
        };
        if !self.has_text {
            let count = self.unreadable_messages;
            let detail = format!("the stream ended without a word ({count} messages were not JSON)");
            return Err(CompletionError::new(UpstreamErrorKind::EmptyAnswer, detail).after_start());
        }
        if self.finish_reason.is_none() && !self.is_done {
            let detail = "the stream ended without saying that the answer is whole";
            return Err(CompletionError::new(UpstreamErrorKind::Interrupted, detail).after_start());
        }
        let usage = self.usage.unwrap_or_default();
        let usage = ReportedUsage {
            prompt_tokens: usage.prompt_tokens.filter(|tokens| *tokens > 0),
            completion_tokens: usage.completion_tokens.filter(|tokens| *tokens > 0),
            cost: usage.cost.filter(|cost| (0.0..=MAX_COST_DOLLARS).contains(cost)),
        };
        Ok(Completion { status, usage, model: self.model, citations: Vec::new() })
    }
}
