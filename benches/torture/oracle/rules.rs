//! The promises one by one, each a small function over what was seen.

use super::Violation;
use super::numbered_words::read;

/// How a turn ended, as its `done` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// `complete`, `length`, `cancelled`, `interrupted` or `failed`.
    pub(crate) status: String,
    /// Whether the answer is committed.
    pub(crate) durable: bool,
    /// Whether a model answered.
    pub(crate) live: bool,
}

/// A turn as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its id.
    pub(crate) turn_id: String,
    /// How it ended.
    pub(crate) status: String,
    /// The question.
    pub(crate) question: String,
    /// The answer; empty when there is none.
    pub(crate) answer: String,
}

/// What a visitor was told of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised<'a> {
    /// Its id.
    pub(crate) turn_id: &'a str,
    /// Its question's key.
    pub(crate) key: &'a str,
    /// Whether the question must have outlived all that happened since.
    pub(crate) question_is_kept: bool,
    /// Text and status that must have, if the turn ended so.
    pub(crate) answer_is_kept: Option<(&'a str, &'a str)>,
}

/// A whole answer has all the words that the model gave.
pub(crate) fn whole(status: &str, words: usize, planned: usize) -> Result<(), Violation> {
    if matches!(status, "complete" | "length") && words != planned {
        return Err(Violation::new(
            "a complete answer has all of its words",
            format!("{words} of {planned} words, {status}"),
        ));
    }
    Ok(())
}

/// A turn fails with an error, and only then has one.
pub(crate) fn failure_is_explained(status: &str, error_came_right_before: bool) -> Result<(), Violation> {
    if (status == "failed") == error_came_right_before {
        return Ok(());
    }
    Err(Violation::new(
        "an error comes right before the end of a failed turn",
        format!("done says {status}, error right before: {error_came_right_before}"),
    ))
}

/// Numbers of deltas grow.
pub(crate) fn seq_grows(last: u64, seq: u64) -> Result<(), Violation> {
    if seq > last {
        return Ok(());
    }
    Err(Violation::new("the numbers of deltas grow", format!("{seq} after {last}")))
}

/// No more questions are left than there are.
pub(crate) fn within_limit(remaining: u64, limit: u64) -> Result<(), Violation> {
    if remaining <= limit {
        return Ok(());
    }
    Err(Violation::new("no more questions are left than the limit", format!("{remaining} of {limit}")))
}

/// The model is asked again only when its server failed, or when the question was sent again and
/// may have been lost.
pub(crate) fn second_request(
    earlier_was_faulty: bool,
    question_is_kept: bool,
    key: &str,
) -> Result<(), Violation> {
    if earlier_was_faulty || !question_is_kept {
        return Ok(());
    }
    Err(Violation::new("an id never causes a second answer", format!("{key} was put to the model again")))
}

/// What a socket that took part in a race for a session came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raced {
    /// It is still open, with the session.
    Owns,
    /// It was closed with 4409.
    ToldThatItLost,
    /// It was refused, or ended without this code: by a fault, for instance.
    Ended,
}

/// At most one of two sockets has the session, and a server that works gives it to one.
pub(crate) fn one_owner(one: Raced, other: Raced) -> Result<(), Violation> {
    match (one, other) {
        (Raced::Owns, Raced::Owns) | (Raced::ToldThatItLost, Raced::ToldThatItLost) => {
            Err(Violation::new("exactly one of two sockets wins a session", format!("{one:?} and {other:?}")))
        }
        _ => Ok(()),
    }
}

/// What was promised of a turn is in the store, as it was told.
pub(crate) fn kept(promised: Promised<'_>, stored: Option<&Stored>) -> Result<(), Violation> {
    let Promised { turn_id, key, .. } = promised;
    let Some(stored) = stored else {
        if promised.question_is_kept || promised.answer_is_kept.is_some() {
            return Err(Violation::new(
                "what is durable is in the store",
                format!("{key} ({turn_id}) is not"),
            ));
        }
        return Ok(());
    };
    if let Some((text, status)) = promised.answer_is_kept
        && (stored.answer != text || stored.status != status)
    {
        return Err(Violation::new(
            "the store has what the visitor was told",
            format!(
                "{key} ({turn_id}): told {status} with {} bytes, stored {} with {} bytes",
                text.len(),
                stored.status,
                stored.answer.len()
            ),
        ));
    }
    Ok(())
}

/// A stored answer belongs to its question and is its beginning.
pub(crate) fn is_of_its_question(stored: &Stored, key: &str) -> Result<(), Violation> {
    match read(&stored.answer)? {
        Some(reading) if reading.key != key => Err(Violation::new(
            "an answer belongs to its question",
            format!("{} answers {key} ({})", reading.key, stored.turn_id),
        )),
        _ => Ok(()),
    }
}

/// A question said twice has one turn.
pub(crate) fn one_turn_a_question(keys: &[&str]) -> Result<(), Violation> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(Violation::new("a question has one turn", format!("{pair:?} are two"))),
        None => Ok(()),
    }
}

/// An answer that is said again is the same.
pub(crate) fn same_again(
    first: (&str, &Ending),
    again: (&str, &Ending),
    turn_id: &str,
) -> Result<(), Violation> {
    if !first.1.durable || (first.0 == again.0 && first.1.status == again.1.status) {
        return Ok(());
    }
    Err(Violation::new(
        "an answer that is said again is the same",
        format!(
            "{turn_id}: first {} with {} bytes, again {} with {} bytes",
            first.1.status,
            first.0.len(),
            again.1.status,
            again.0.len()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(status: &str, durable: bool) -> Ending {
        Ending { status: status.to_owned(), durable, live: true }
    }

    fn stored(answer: &str, status: &str) -> Stored {
        let text = |it: &str| it.to_owned();
        Stored { turn_id: text("t"), status: text(status), question: text("v1q1?"), answer: text(answer) }
    }

    #[test]
    fn a_complete_answer_without_its_last_word_is_seen() {
        assert!(whole("complete", 9, 10).is_err());
        assert!(whole("length", 9, 10).is_err());
        assert!(whole("complete", 10, 10).is_ok());
        assert!(whole("interrupted", 9, 10).is_ok());
    }

    #[test]
    fn a_failure_without_an_error_and_an_error_without_a_failure_are_seen() {
        assert!(failure_is_explained("failed", false).is_err());
        assert!(failure_is_explained("complete", true).is_err());
        assert!(failure_is_explained("failed", true).is_ok());
        assert!(failure_is_explained("complete", false).is_ok());
    }

    #[test]
    fn a_delta_that_comes_twice_is_seen() {
        assert!(seq_grows(3, 3).is_err());
        assert!(seq_grows(3, 2).is_err());
        assert!(seq_grows(3, 7).is_ok());
    }

    #[test]
    fn more_questions_left_than_the_limit_are_seen() {
        assert!(within_limit(21, 20).is_err());
        assert!(within_limit(20, 20).is_ok());
    }

    #[test]
    fn a_second_request_for_a_stored_question_is_seen() {
        assert!(second_request(false, true, "v1q1").is_err());
        assert!(second_request(true, true, "v1q1").is_ok(), "the model's server may be tried again");
        assert!(second_request(false, false, "v1q1").is_ok(), "the question may have been lost");
    }

    #[test]
    fn a_session_with_two_owners_or_none_is_seen() {
        use Raced::{Ended, Owns, ToldThatItLost};
        assert!(one_owner(Owns, Owns).is_err());
        assert!(one_owner(ToldThatItLost, ToldThatItLost).is_err());
        for (one, other) in [(Owns, ToldThatItLost), (Owns, Ended), (Ended, Ended), (ToldThatItLost, Ended)] {
            assert!(one_owner(one, other).is_ok(), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_durable_turn_that_is_gone_or_changed_is_seen() {
        let nothing = Promised { turn_id: "t", key: "v1q1", question_is_kept: false, answer_is_kept: None };
        let question = Promised { question_is_kept: true, ..nothing };
        let answer = Promised { answer_is_kept: Some(("v1q1a1:0 ", "complete")), ..question };
        assert!(kept(nothing, None).is_ok());
        assert!(kept(question, None).is_err());
        assert!(kept(answer, None).is_err());
        assert!(kept(answer, Some(&stored("v1q1a1:0 ", "complete"))).is_ok());
        assert!(kept(answer, Some(&stored("", "complete"))).is_err());
        assert!(kept(answer, Some(&stored("v1q1a1:0 ", "interrupted"))).is_err());
    }

    #[test]
    fn a_stored_answer_to_another_question_is_seen() {
        assert!(is_of_its_question(&stored("v1q1a1:0 ", "complete"), "v1q1").is_ok());
        assert!(is_of_its_question(&stored("", "failed"), "v1q1").is_ok());
        assert!(is_of_its_question(&stored("v1q2a1:0 ", "complete"), "v1q1").is_err());
        assert!(is_of_its_question(&stored("v1q1a1:0 v1q1a1:2 ", "complete"), "v1q1").is_err());
    }

    #[test]
    fn a_question_with_two_turns_is_seen() {
        assert!(one_turn_a_question(&["v1q1", "v1q2", "v1q1"]).is_err());
        assert!(one_turn_a_question(&["v1q1", "v1q2"]).is_ok());
    }

    #[test]
    fn another_answer_the_second_time_is_seen() {
        let (complete, failed) = (ending("complete", true), ending("failed", true));
        assert!(same_again(("a", &complete), ("a", &complete), "t").is_ok());
        assert!(same_again(("a", &complete), ("b", &complete), "t").is_err());
        assert!(same_again(("a", &complete), ("a", &failed), "t").is_err());
        assert!(same_again(("a", &ending("complete", false)), ("b", &failed), "t").is_ok());
    }
}
