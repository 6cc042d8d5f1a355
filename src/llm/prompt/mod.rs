//! The prompt: the system prompt, the conversation so far, the question.

pub mod system_prompt;

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The author of a message in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The system prompt, which contains the resume.
    System,
    /// The visitor.
    User,
    /// The model, in an earlier answer.
    Assistant,
}

/// One message of a prompt, in the format of OpenAI-compatible servers.
#[derive(Clone, Debug, Serialize)]
pub struct PromptMessage {
    pub role: Speaker,
    /// The text, shared with the history and never copied.
    pub content: Arc<str>,
}

/// A prompt with its size.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The messages, the question last.
    pub messages: Vec<PromptMessage>,
    /// The question as the visitor asked it. The last message may fence it in markers.
    pub question: Arc<str>,
    /// The length of the prompt in tokens, by our own count.
    pub tokens: u32,
    /// The maximum number of tokens of the answer.
    pub max_response_tokens: u32,
}

impl Prompt {
    /// Returns the prompt without the older half of its exchanges, or `None` if it has no
    /// exchanges. `count` returns the number of tokens of a text.
    #[must_use]
    pub fn without_older_half(&self, count: impl Fn(&str) -> u32) -> Option<Self> {
        // The system prompt comes first, the question last, two messages per exchange between them.
        let exchanges = self.messages.len().checked_sub(2)? / 2;
        let dropped = 1..1 + exchanges.div_ceil(2) * 2;
        let tokens: u32 =
            self.messages.get(dropped.clone())?.iter().map(|message| count(&message.content)).sum();
        if dropped.is_empty() {
            return None;
        }
        let mut shorter = self.clone();
        shorter.messages.drain(dropped);
        shorter.tokens = self.tokens.saturating_sub(tokens);
        Some(shorter)
    }
}

/// Serializes the prompt as the list of its messages.
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
        let mut messages = vec![message(Speaker::System, "system prompt".into())];
        for number in 0..exchanges {
            messages.push(message(Speaker::User, format!("q{number}")));
            messages.push(message(Speaker::Assistant, format!("a{number}")));
        }
        messages.push(message(Speaker::User, "question".into()));
        Prompt { messages, question: "question".into(), tokens: 100, max_response_tokens: 10 }
    }

    #[test]
    fn shortened_prompt_keeps_the_system_prompt_the_newer_half_and_the_question() {
        for (exchanges, left) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            let shorter = prompt(exchanges).without_older_half(|_| 3).unwrap();
            let texts: Vec<&str> = shorter.messages.iter().map(|message| &*message.content).collect();
            assert_eq!(texts.len(), 2 + 2 * left);
            assert_eq!((texts[0], texts[texts.len() - 1]), ("system prompt", "question"));
            if left > 0 {
                assert_eq!(texts[texts.len() - 2], format!("a{}", exchanges - 1));
            }
            assert_eq!(shorter.tokens, 100 - 3 * 2 * u32::try_from(exchanges - left).unwrap());
        }
        assert!(prompt(0).without_older_half(|_| 3).is_none());
    }
}
