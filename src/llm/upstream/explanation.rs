//! The part of a server's explanation that is safe to log: without the visitor's words.

use std::collections::HashSet;

use crate::llm::prompt::{Prompt, Speaker};

/// The maximum number of characters of an explanation in the log.
const MAX_CHARS: usize = 300;

/// The minimum length of a word that is hidden. Shorter words do not identify a person.
const MIN_HIDDEN_CHARS: usize = 4;

/// Words that are kept although a visitor may have used them, because explanations consist of them.
const VOCABULARY: [&str; 60] = [
    "message",
    "messages",
    "model",
    "models",
    "parameter",
    "parameters",
    "supported",
    "unsupported",
    "value",
    "this",
    "that",
    "with",
    "must",
    "role",
    "roles",
    "system",
    "user",
    "assistant",
    "developer",
    "content",
    "field",
    "fields",
    "body",
    "request",
    "requests",
    "invalid",
    "error",
    "token",
    "tokens",
    "length",
    "maximum",
    "context",
    "prompt",
    "please",
    "your",
    "does",
    "have",
    "only",
    "from",
    "instead",
    "expected",
    "missing",
    "required",
    "unknown",
    "extra",
    "inputs",
    "permitted",
    "allowed",
    "temperature",
    "stream",
    "options",
    "limit",
    "exceeded",
    "exceeds",
    "type",
    "string",
    "number",
    "least",
    "more",
    "than",
];

/// Returns the start of an explanation, on one line, in which words of the visitor and long quotes
/// from the prompt are replaced by `…`.
pub(crate) fn without_prompt(explanation: &str, prompt: &Prompt) -> String {
    let said = prompt.messages.iter().filter(|message| message.role == Speaker::User);
    let said: HashSet<String> =
        said.flat_map(|message| words(&message.content)).map(str::to_lowercase).collect();
    let mut safe = String::new();
    for word in explanation.split_whitespace() {
        let is_hidden = words(word).any(|part| {
            let part = part.to_lowercase();
            part.chars().count() >= MIN_HIDDEN_CHARS
                && said.contains(&part)
                && !VOCABULARY.contains(&part.as_str())
        });
        if safe.len() + word.len() > MAX_CHARS {
            break;
        }
        if !safe.is_empty() {
            safe.push(' ');
        }
        match is_hidden {
            true if safe.trim_end().ends_with('…') => {
                safe.pop();
            }
            true => safe.push('…'),
            false => safe.extend(word.chars().filter(|character| !character.is_control())),
        }
    }
    hide_quotes(safe, prompt)
}

/// Cuts the explanation where it quotes the resume or an earlier answer: at the first four words in
/// a row that the prompt contains as well.
fn hide_quotes(mut safe: String, prompt: &Prompt) -> String {
    const ROW: usize = 4;
    let said: Vec<String> = prompt.messages.iter().map(|message| joined(words(&message.content))).collect();
    let starts = safe.match_indices(char::is_alphanumeric).map(|(at, _)| at);
    let quote = starts
        .filter(|at| safe.get(..*at).is_none_or(|before| !before.ends_with(char::is_alphanumeric)))
        .find(|start| {
            let row: Vec<&str> = words(safe.get(*start..).unwrap_or_default()).take(ROW).collect();
            let text = joined(row.iter().copied());
            row.len() == ROW && said.iter().any(|said| said.contains(&text))
        });
    if let Some(start) = quote {
        safe.truncate(start);
        safe.push('…');
    }
    safe
}

/// Joins words, with a space around each.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.fold(" ".to_owned(), |text, word| text + word + " ")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::prompt::PromptMessage;

    fn prompt() -> Prompt {
        let message = |role, content: &str| PromptMessage { role, content: content.into() };
        Prompt {
            messages: vec![
                message(Speaker::System, "Ada led the timetable service at Northwind."),
                message(Speaker::User, "My secret is hunter2, does the model know?"),
            ],
            question: "".into(),
            tokens: 0,
            max_response_tokens: 0,
        }
    }

    #[test]
    fn explanation_keeps_its_own_words_and_no_words_of_the_prompt() {
        for (explanation, safe) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model.",
                "Unsupported parameter: 'max_tokens' is not supported with this model.",
            ),
            (
                "Invalid content \"My secret is hunter2\" in messages",
                "Invalid content \"My … is … in messages",
            ),
            ("Cannot process: Ada led the timetable service", "Cannot process: …"),
            ("the resume says \"led the timetable service\"", "the resume says \"…"),
            ("line\nbreak\u{7}", "line break"),
        ] {
            assert_eq!(without_prompt(explanation, &prompt()), safe);
        }
        let long = without_prompt(&"word ".repeat(1_000), &prompt());
        assert!(long.len() <= MAX_CHARS + "…".len(), "{long}");
    }
}
