//! Answers of identifiable words: each word contains the key of its question, the attempt, and its
//! index.

use super::Violation;

/// The content of a text of such words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedAnswer {
    /// The key of the question.
    pub(crate) key: String,
    /// The number of the request to the model, from 1.
    pub(crate) attempt: usize,
    /// The number of complete words, starting with the first.
    pub(crate) words: usize,
    /// Whether a part of the next word follows.
    pub(crate) is_cut: bool,
}

/// Returns the word with this index, from 0, of an attempt to answer a question.
pub(crate) fn word(key: &str, attempt: usize, index: usize) -> String {
    format!("{key}a{attempt}:{index} ")
}

/// Returns the key of the `number`-th question of a visitor.
pub(crate) fn question_key(visitor: usize, number: usize) -> String {
    format!("v{visitor}q{number}")
}

/// Finds the first key in a text.
pub(crate) fn find_key(text: &str) -> Option<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).find(|word| is_key(word))
}

fn is_key(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = word.strip_prefix('v').and_then(|rest| rest.split_once('q'));
    parts.is_some_and(|(visitor, question)| digits(visitor) && digits(question))
}

/// Parses a text. Returns `None` if it is too short to identify the first word.
///
/// # Errors
/// If a word is missing, repeated, out of order, or belongs to another question or attempt.
pub(crate) fn parse_answer(text: &str) -> Result<Option<ParsedAnswer>, Violation> {
    let Some((opening, _)) = text.split_once(':') else { return Ok(None) };
    let parts = opening.rsplit_once('a').filter(|(key, _)| is_key(key));
    let Some((key, attempt)) = parts.and_then(|(key, attempt)| Some((key, attempt.parse().ok()?))) else {
        return Err(Violation::new(
            "every word is from the model",
            format!("begins with {:?}", beginning(text)),
        ));
    };
    let mut answer = ParsedAnswer { key: key.to_owned(), attempt, words: 0, is_cut: false };
    let mut rest = text;
    while !rest.is_empty() {
        let expected = word(key, attempt, answer.words);
        if let Some(after) = rest.strip_prefix(&expected) {
            answer.words += 1;
            rest = after;
        } else if expected.starts_with(rest) {
            answer.is_cut = true;
            break;
        } else {
            return Err(Violation::new(
                "every word arrives once and in order",
                format!("expected {expected:?}, received {:?}", beginning(rest)),
            ));
        }
    }
    Ok(Some(answer))
}

fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(indexes: &[usize]) -> String {
        indexes.iter().map(|index| word("v3q7", 1, *index)).collect()
    }

    #[test]
    fn words_in_order_are_counted() {
        let parsed = parse_answer(&answer(&[0, 1, 2])).unwrap().unwrap();
        let expected = ParsedAnswer { key: "v3q7".to_owned(), attempt: 1, words: 3, is_cut: false };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn missing_repeated_and_reordered_words_are_detected() {
        for indexes in [&[0, 2][..], &[0, 1, 1], &[1], &[0, 2, 1], &[0, 1, 0, 1]] {
            assert!(parse_answer(&answer(indexes)).is_err(), "{indexes:?}");
        }
    }

    #[test]
    fn words_of_another_question_or_attempt_are_detected() {
        for other in [word("v3q8", 1, 1), word("v3q7", 2, 1), "hello ".to_owned()] {
            assert!(parse_answer(&(answer(&[0]) + &other)).is_err(), "{other}");
        }
        assert!(parse_answer("An error: of the server's own").is_err());
        assert!(parse_answer("v3a1:0 v3a1:1 ").is_err());
    }

    #[test]
    fn text_may_end_within_the_next_word_only() {
        let parsed = parse_answer("v3q7a1:0 v3q7a").unwrap();
        assert_eq!(parsed.map(|answer| (answer.words, answer.is_cut)), Some((1, true)));
        assert!(parse_answer("v3q7a1:0 v3q8").is_err());
        assert_eq!(parse_answer("v3q").unwrap(), None);
    }

    #[test]
    fn keys_are_found_within_other_text() {
        assert_eq!(find_key("<question>\nWhat of v12q3?\n"), Some("v12q3"));
        assert_eq!(find_key("v12 q3 vq v1q v1qx"), None);
        assert_eq!(find_key(&question_key(4, 5)), Some("v4q5"));
    }
}
