//! Answers that describe themselves: each word names its question, the attempt at it, and its own
//! place.

use super::Violation;

/// What a text of such words holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The question that is answered.
    pub(crate) key: String,
    /// Which request to the model it is, counted from 1.
    pub(crate) attempt: usize,
    /// Whole words from the first on.
    pub(crate) words: usize,
    /// Whether a part of one more word follows.
    pub(crate) cut: bool,
}

/// The `place`-th word, from 0, of an attempt to answer a question.
pub(crate) fn word(key: &str, attempt: usize, place: usize) -> String {
    format!("{key}a{attempt}:{place} ")
}

/// The key of the `number`-th question of a visitor.
pub(crate) fn key(visitor: usize, number: usize) -> String {
    format!("v{visitor}q{number}")
}

/// The first key in a text, whatever it is wrapped in.
pub(crate) fn key_in(text: &str) -> Option<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).find(|word| is_key(word))
}

fn is_key(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = word.strip_prefix('v').and_then(|rest| rest.split_once('q'));
    parts.is_some_and(|(visitor, question)| digits(visitor) && digits(question))
}

/// Reads a text word by word; `None` when not even its first word is told apart yet.
///
/// # Errors
/// When a word is missing, doubled, out of order, of another question or another attempt.
pub(crate) fn read(text: &str) -> Result<Option<Reading>, Violation> {
    let Some((opening, _)) = text.split_once(':') else { return Ok(None) };
    let parts = opening.rsplit_once('a').filter(|(key, _)| is_key(key));
    let Some((key, attempt)) = parts.and_then(|(key, attempt)| Some((key, attempt.parse().ok()?))) else {
        return Err(Violation::new("every word is the model's", format!("begins with {:?}", start_of(text))));
    };
    let mut reading = Reading { key: key.to_owned(), attempt, words: 0, cut: false };
    let mut rest = text;
    while !rest.is_empty() {
        let expected = word(key, attempt, reading.words);
        if let Some(after) = rest.strip_prefix(&expected) {
            reading.words += 1;
            rest = after;
        } else if expected.starts_with(rest) {
            reading.cut = true;
            break;
        } else {
            return Err(Violation::new(
                "every word once and in order",
                format!("{expected:?} should come where {:?} does", start_of(rest)),
            ));
        }
    }
    Ok(Some(reading))
}

fn start_of(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(places: &[usize]) -> String {
        places.iter().map(|place| word("v3q7", 1, *place)).collect()
    }

    #[test]
    fn words_in_order_are_counted() {
        let reading = read(&said(&[0, 1, 2])).unwrap().unwrap();
        assert_eq!(reading, Reading { key: "v3q7".to_owned(), attempt: 1, words: 3, cut: false });
    }

    #[test]
    fn a_word_that_is_missing_or_doubled_or_out_of_order_is_seen() {
        for places in [&[0, 2][..], &[0, 1, 1], &[1], &[0, 2, 1], &[0, 1, 0, 1]] {
            assert!(read(&said(places)).is_err(), "{places:?}");
        }
    }

    #[test]
    fn words_of_another_question_or_attempt_are_seen() {
        for other in [word("v3q8", 1, 1), word("v3q7", 2, 1), "hello ".to_owned()] {
            assert!(read(&(said(&[0]) + &other)).is_err(), "{other}");
        }
        assert!(read("An error: of the server's own").is_err());
        assert!(read("v3a1:0 v3a1:1 ").is_err());
    }

    #[test]
    fn a_text_may_end_within_a_word_but_not_within_another() {
        assert_eq!(read("v3q7a1:0 v3q7a").unwrap().map(|it| (it.words, it.cut)), Some((1, true)));
        assert!(read("v3q7a1:0 v3q8").is_err());
        assert_eq!(read("v3q").unwrap(), None);
    }

    #[test]
    fn keys_are_found_in_whatever_surrounds_them() {
        assert_eq!(key_in("<question>\nWhat of v12q3?\n"), Some("v12q3"));
        assert_eq!(key_in("v12 q3 vq v1q v1qx"), None);
        assert_eq!(key_in(&key(4, 5)), Some("v4q5"));
    }
}
