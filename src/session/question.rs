//! A question as it may be asked: not empty, not too long, free of control characters.

use std::sync::Arc;

use super::conversation::Refusal;
use crate::protocol::MAX_QUESTION_CHARS;
use crate::protocol::codes::ErrorCode;

/// The text of a question, fit to be stored and sent to a model.
///
/// # Errors
/// [`Refusal`] with `VALIDATION_ERROR` when nothing is left, `MESSAGE_TOO_LONG` with both numbers when too much is.
pub fn accept(text: &str) -> Result<Arc<str>, Refusal> {
    let kept: String = text.chars().filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect();
    let question = kept.trim();
    if question.is_empty() {
        return Err(Refusal::new(ErrorCode::ValidationError).saying("The question is empty."));
    }
    let length = question.chars().count();
    if length > MAX_QUESTION_CHARS {
        return Err(Refusal::new(ErrorCode::MessageTooLong).saying(format!(
            "The question has {length} characters; at most {MAX_QUESTION_CHARS} are possible."
        )));
    }
    Ok(question.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters_after_cleaning() {
        let longest = format!("  {}\u{0}  ", "é".repeat(MAX_QUESTION_CHARS));
        assert_eq!(accept(&longest).unwrap().chars().count(), MAX_QUESTION_CHARS);
        let refusal = accept(&"é".repeat(MAX_QUESTION_CHARS + 1)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::MessageTooLong);
        assert!(refusal.message().contains("2001") && refusal.message().contains("2000"));
    }

    #[test]
    fn nothing_is_no_question() {
        for text in ["", "   \n", "\u{0}\u{7}"] {
            assert_eq!(accept(text).unwrap_err().code, ErrorCode::ValidationError);
        }
    }
}
