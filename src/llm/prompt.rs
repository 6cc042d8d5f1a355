//! What the model is asked: the system prompt, the conversation so far, the question.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Who speaks in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The owner's instructions with the resume.
    System,
    /// The visitor.
    User,
    /// The model.
    Assistant,
}

/// One message of a prompt, in the shape that OpenAI-compatible servers take.
#[derive(Clone, Debug, Serialize)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: Speaker,
    /// What is said; shared with the history, never copied.
    pub content: Arc<str>,
}

/// A whole prompt.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The messages, the question last.
    pub messages: Vec<PromptMessage>,
    /// The question as the visitor asked it; the last message may show it between marks.
    pub question: Arc<str>,
    /// What it costs in tokens, by our own count.
    pub tokens: u32,
    /// Tokens the answer may have.
    pub max_response_tokens: u32,
}

/// Serialised as the list of its messages.
impl Serialize for Prompt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.messages.serialize(serializer)
    }
}
