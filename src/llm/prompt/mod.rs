//! What the model is asked: the system prompt, the conversation so far, the question.

pub mod system_prompt;

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

impl Prompt {
    /// The same question with the newer half of its exchanges; `None` when there are none to leave out. `count` counts
    /// the tokens of a text.
    #[must_use]
    pub fn without_older_half(&self, count: impl Fn(&str) -> u32) -> Option<Self> {
        // The instructions come first, the question last, two messages an exchange between them.
        let exchanges = self.messages.len().checked_sub(2)? / 2;
        let dropped = 1..1 + exchanges.div_ceil(2) * 2;
        let tokens: u32 = self.messages.get(dropped.clone())?.iter().map(|it| count(&it.content)).sum();
        if dropped.is_empty() {
            return None;
        }
        let mut shorter = self.clone();
        shorter.messages.drain(dropped);
        shorter.tokens = self.tokens.saturating_sub(tokens);
        Some(shorter)
    }
}

/// Serialised as the list of its messages.
impl Serialize for Prompt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.messages.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(exchanges: usize) -> Prompt {
        let message = |role, content: String| PromptMessage { role, content: content.into() };
        let mut messages = vec![message(Speaker::System, "instructions".into())];
        for number in 0..exchanges {
            messages.push(message(Speaker::User, format!("q{number}")));
            messages.push(message(Speaker::Assistant, format!("a{number}")));
        }
        messages.push(message(Speaker::User, "question".into()));
        Prompt { messages, question: "question".into(), tokens: 100, max_response_tokens: 10 }
    }

    #[test]
    fn the_oldest_exchanges_go_first_and_never_the_instructions_or_the_question() {
        for (exchanges, left) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            let shorter = prompt(exchanges).without_older_half(|_| 3).unwrap();
            let said: Vec<&str> = shorter.messages.iter().map(|it| &*it.content).collect();
            assert_eq!(said.len(), 2 + 2 * left);
            assert_eq!((said[0], said[said.len() - 1]), ("instructions", "question"));
            if left > 0 {
                assert_eq!(said[said.len() - 2], format!("a{}", exchanges - 1));
            }
            assert_eq!(shorter.tokens, 100 - 3 * 2 * u32::try_from(exchanges - left).unwrap());
        }
        assert!(prompt(0).without_older_half(|_| 3).is_none());
    }
}
