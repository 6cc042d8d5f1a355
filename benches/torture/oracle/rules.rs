//! The rules, each a small function over observed values.

use super::Violation;
use super::numbered_words::parse_answer;

/// The end of a turn, from its `done` frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TurnEnd {
    /// `complete`, `length`, `cancelled`, `interrupted` or `failed`.
    pub(crate) status: String,
    /// Whether the answer is stored.
    pub(crate) durable: bool,
    /// Whether a model generated the answer.
    pub(crate) is_live: bool,
}

/// A turn in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredTurn {
    pub(crate) turn_id: String,
    pub(crate) status: String,
    pub(crate) question: String,
    /// The answer, or the empty string if there is none.
    pub(crate) answer: String,
}

/// What the store must hold of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedTurn<'a> {
    pub(crate) turn_id: &'a str,
    /// The key of the question.
    pub(crate) key: &'a str,
    /// Whether the question must be in the store.
    pub(crate) requires_question: bool,
    /// Text and status of the answer that must be in the store, if any.
    pub(crate) answer: Option<(&'a str, &'a str)>,
}

/// Checks that a complete answer has all words of the model.
pub(crate) fn check_complete(status: &str, words: usize, planned: usize) -> Result<(), Violation> {
    if matches!(status, "complete" | "length") && words != planned {
        return Err(Violation::new(
            "a complete answer has all of its words",
            format!("{words} of {planned} words, {status}"),
        ));
    }
    Ok(())
}

/// Checks that an `error` directly precedes the `done` of a failed turn, and of no other turn.
pub(crate) fn check_error_before_failure(status: &str, has_error_before: bool) -> Result<(), Violation> {
    if (status == "failed") == has_error_before {
        return Ok(());
    }
    Err(Violation::new(
        "an error directly precedes the end of a failed turn",
        format!("status {status}, error before it: {has_error_before}"),
    ))
}

/// Checks that the sequence numbers of deltas increase.
pub(crate) fn check_seq_increases(last: u64, seq: u64) -> Result<(), Violation> {
    if seq > last {
        return Ok(());
    }
    Err(Violation::new("sequence numbers increase", format!("{seq} after {last}")))
}

/// Checks that `remaining` does not exceed the rate limit.
pub(crate) fn check_remaining(remaining: u64, limit: u64) -> Result<(), Violation> {
    if remaining <= limit {
        return Ok(());
    }
    Err(Violation::new("remaining questions do not exceed the limit", format!("{remaining} of {limit}")))
}

/// Checks that a repeated request to the model follows a failure, or a question that was sent again
/// because it may have been lost.
pub(crate) fn check_repeated_request(
    previous_failed: bool,
    question_is_stored: bool,
    key: &str,
) -> Result<(), Violation> {
    if previous_failed || !question_is_stored {
        return Ok(());
    }
    Err(Violation::new("an id never causes a second answer", format!("second request for {key}")))
}

/// The result of one connection in a race for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RaceResult {
    /// It is open and has the session.
    Owner,
    /// The server closed it with 4409.
    Superseded,
    /// It was rejected, or ended without that code, for example because of a fault.
    Ended,
}

/// Checks that not both connections have the session, and that not both were superseded.
pub(crate) fn check_single_owner(first: RaceResult, second: RaceResult) -> Result<(), Violation> {
    match (first, second) {
        (RaceResult::Owner, RaceResult::Owner) | (RaceResult::Superseded, RaceResult::Superseded) => {
            Err(Violation::new(
                "exactly one of two connections gets the session",
                format!("{first:?} and {second:?}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Checks that the store holds what a visitor was promised about a turn.
pub(crate) fn check_stored(expected: ExpectedTurn<'_>, stored: Option<&StoredTurn>) -> Result<(), Violation> {
    let ExpectedTurn { turn_id, key, .. } = expected;
    let Some(stored) = stored else {
        if expected.requires_question || expected.answer.is_some() {
            return Err(Violation::new(
                "durable data is in the store",
                format!("{key} ({turn_id}) is missing"),
            ));
        }
        return Ok(());
    };
    if let Some((text, status)) = expected.answer
        && (stored.answer != text || stored.status != status)
    {
        return Err(Violation::new(
            "the store matches what the visitor received",
            format!(
                "{key} ({turn_id}): received {status} with {} bytes, stored {} with {} bytes",
                text.len(),
                stored.status,
                stored.answer.len()
            ),
        ));
    }
    Ok(())
}

/// Checks that a stored answer belongs to its question, and starts with its first word.
pub(crate) fn check_answer_matches_question(stored: &StoredTurn, key: &str) -> Result<(), Violation> {
    match parse_answer(&stored.answer)? {
        Some(answer) if answer.key != key => Err(Violation::new(
            "an answer belongs to its question",
            format!("{} answers {key} ({})", answer.key, stored.turn_id),
        )),
        _ => Ok(()),
    }
}

/// Checks that no question has two turns.
pub(crate) fn check_one_turn_per_question(keys: &[&str]) -> Result<(), Violation> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(Violation::new("a question has one turn", format!("{pair:?}"))),
        None => Ok(()),
    }
}

/// Checks that a replayed answer equals the durable first one.
pub(crate) fn check_replay(
    first: (&str, &TurnEnd),
    replayed: (&str, &TurnEnd),
    turn_id: &str,
) -> Result<(), Violation> {
    if !first.1.durable || (first.0 == replayed.0 && first.1.status == replayed.1.status) {
        return Ok(());
    }
    Err(Violation::new(
        "a replayed answer equals the first one",
        format!(
            "{turn_id}: first {} with {} bytes, replayed {} with {} bytes",
            first.1.status,
            first.0.len(),
            replayed.1.status,
            replayed.0.len()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn_end(status: &str, durable: bool) -> TurnEnd {
        TurnEnd { status: status.to_owned(), durable, is_live: true }
    }

    fn stored(answer: &str, status: &str) -> StoredTurn {
        let text = |text: &str| text.to_owned();
        StoredTurn { turn_id: text("t"), status: text(status), question: text("v1q1?"), answer: text(answer) }
    }

    #[test]
    fn complete_answer_without_its_last_word_is_detected() {
        assert!(check_complete("complete", 9, 10).is_err());
        assert!(check_complete("length", 9, 10).is_err());
        assert!(check_complete("complete", 10, 10).is_ok());
        assert!(check_complete("interrupted", 9, 10).is_ok());
    }

    #[test]
    fn failure_without_error_and_error_without_failure_are_detected() {
        assert!(check_error_before_failure("failed", false).is_err());
        assert!(check_error_before_failure("complete", true).is_err());
        assert!(check_error_before_failure("failed", true).is_ok());
        assert!(check_error_before_failure("complete", false).is_ok());
    }

    #[test]
    fn repeated_delta_is_detected() {
        assert!(check_seq_increases(3, 3).is_err());
        assert!(check_seq_increases(3, 2).is_err());
        assert!(check_seq_increases(3, 7).is_ok());
    }

    #[test]
    fn remaining_above_the_limit_is_detected() {
        assert!(check_remaining(21, 20).is_err());
        assert!(check_remaining(20, 20).is_ok());
    }

    #[test]
    fn repeated_request_for_a_stored_question_is_detected() {
        assert!(check_repeated_request(false, true, "v1q1").is_err());
        assert!(check_repeated_request(true, true, "v1q1").is_ok(), "a failed request may be repeated");
        assert!(check_repeated_request(false, false, "v1q1").is_ok(), "the question may have been lost");
    }

    #[test]
    fn session_with_two_owners_or_none_is_detected() {
        use RaceResult::{Ended, Owner, Superseded};
        assert!(check_single_owner(Owner, Owner).is_err());
        assert!(check_single_owner(Superseded, Superseded).is_err());
        for (first, second) in [(Owner, Superseded), (Owner, Ended), (Ended, Ended), (Superseded, Ended)] {
            assert!(check_single_owner(first, second).is_ok(), "{first:?} {second:?}");
        }
    }

    #[test]
    fn missing_or_changed_durable_turn_is_detected() {
        let nothing = ExpectedTurn { turn_id: "t", key: "v1q1", requires_question: false, answer: None };
        let question = ExpectedTurn { requires_question: true, ..nothing };
        let answer = ExpectedTurn { answer: Some(("v1q1a1:0 ", "complete")), ..question };
        assert!(check_stored(nothing, None).is_ok());
        assert!(check_stored(question, None).is_err());
        assert!(check_stored(answer, None).is_err());
        assert!(check_stored(answer, Some(&stored("v1q1a1:0 ", "complete"))).is_ok());
        assert!(check_stored(answer, Some(&stored("", "complete"))).is_err());
        assert!(check_stored(answer, Some(&stored("v1q1a1:0 ", "interrupted"))).is_err());
    }

    #[test]
    fn stored_answer_to_another_question_is_detected() {
        assert!(check_answer_matches_question(&stored("v1q1a1:0 ", "complete"), "v1q1").is_ok());
        assert!(check_answer_matches_question(&stored("", "failed"), "v1q1").is_ok());
        assert!(check_answer_matches_question(&stored("v1q2a1:0 ", "complete"), "v1q1").is_err());
        assert!(check_answer_matches_question(&stored("v1q1a1:0 v1q1a1:2 ", "complete"), "v1q1").is_err());
    }

    #[test]
    fn question_with_two_turns_is_detected() {
        assert!(check_one_turn_per_question(&["v1q1", "v1q2", "v1q1"]).is_err());
        assert!(check_one_turn_per_question(&["v1q1", "v1q2"]).is_ok());
    }

    #[test]
    fn different_replayed_answer_is_detected() {
        let (complete, failed) = (turn_end("complete", true), turn_end("failed", true));
        assert!(check_replay(("a", &complete), ("a", &complete), "t").is_ok());
        assert!(check_replay(("a", &complete), ("b", &complete), "t").is_err());
        assert!(check_replay(("a", &complete), ("a", &failed), "t").is_err());
        assert!(check_replay(("a", &turn_end("complete", false)), ("b", &failed), "t").is_ok());
    }
}
