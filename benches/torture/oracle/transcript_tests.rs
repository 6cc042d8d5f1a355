//! Tests of the transcript: each rule is violated once, and the violation must be detected.

use serde_json::{Value, json};

use super::numbered_words::word;
use super::transcript::{Cursor, Facts, Transcript, stored_turns};

/// Observes frames of a session in which answers have three words. Returns the violated rules.
fn observe(
    transcript: &mut Transcript,
    frames: &[Value],
    cursor: Option<&Cursor>,
    losses: u64,
) -> Vec<&'static str> {
    let planned_words = |_: &str, _: usize| Some(3);
    let facts = Facts { planned_words: &planned_words, losses };
    let violations = frames.iter().flat_map(|frame| transcript.observe(frame, cursor, facts));
    violations.map(|violation| violation.rule).collect()
}

fn violated_rules(frames: &[Value]) -> Vec<&'static str> {
    observe(&mut Transcript::default(), frames, None, 0)
}

/// Returns the transcript of a visitor who received these frames and was disconnected.
fn disconnected_after(frames: &[Value]) -> Transcript {
    let mut transcript = Transcript::default();
    assert!(observe(&mut transcript, frames, None, 0).is_empty());
    transcript.disconnect();
    transcript
}

fn session() -> Value {
    json!({"type": "session", "limits": {"requests_per_minute": 20, "remaining": 20}})
}

fn resumed(recovered: bool, history: &[Value]) -> Value {
    let mut frame = session();
    frame["resumed"] = json!(true);
    frame["recovered"] = json!(recovered);
    frame["history"] = json!(history);
    frame
}

fn accepted(duplicate: bool) -> Value {
    json!({
        "type": "accepted", "id": "v1q1", "turn_id": "t1", "remaining": 19, "durable": true, "duplicate": duplicate,
    })
}

fn delta(seq: u64) -> Value {
    let index = usize::try_from(seq).unwrap() - 1;
    json!({"type": "delta", "turn_id": "t1", "seq": seq, "text": word("v1q1", 1, index)})
}

fn done(status: &str) -> Value {
    json!({"type": "done", "turn_id": "t1", "status": status, "mode": "live", "durable": true, "remaining": 19})
}

fn stored_messages(words: usize, status: &str) -> Vec<Value> {
    let answer: String = (0..words).map(|index| word("v1q1", 1, index)).collect();
    let message = |role: &str, content: &str| json!({"turn_id": "t1", "role": role, "content": content, "status": status});
    let question = message("user", "What of v1q1?");
    if words == 0 { vec![question] } else { vec![question, message("assistant", &answer)] }
}

fn complete_answer() -> Vec<Value> {
    vec![session(), accepted(false), delta(1), delta(2), delta(3), done("complete")]
}

#[test]
fn complete_answer_violates_no_rule() {
    assert_eq!(violated_rules(&complete_answer()), Vec::<&str>::new());
}

#[test]
fn missing_and_repeated_frames_are_detected_everywhere() {
    for index in 1..complete_answer().len() {
        let mut frames = complete_answer();
        let frame = frames.remove(index);
        // Without `done` the answer stays in progress, which only a timeout detects.
        assert_eq!(violated_rules(&frames).is_empty(), index == 5, "without {frame}");
        frames.insert(index, frame.clone());
        frames.insert(index, frame.clone());
        assert!(!violated_rules(&frames).is_empty(), "twice {frame}");
    }
}

#[test]
fn failed_turn_requires_an_error_directly_before_done() {
    let error = json!({"type": "error", "turn_id": "t1", "code": "API_ERROR"});
    let failed = |middle: &[Value]| {
        violated_rules(&[&[session(), accepted(false), delta(1)], middle, &[done("failed")]].concat())
    };
    assert!(failed(std::slice::from_ref(&error)).is_empty());
    assert!(!failed(&[]).is_empty());
    assert!(!failed(&[error, delta(2)]).is_empty());
}

#[test]
fn remaining_above_the_limit_is_detected_in_every_frame() {
    for index in [0, 1, 5] {
        let mut frames = complete_answer();
        match index {
            0 => frames[0]["limits"]["remaining"] = json!(21),
            _ => frames[index]["remaining"] = json!(21),
        }
        assert_eq!(violated_rules(&frames), ["remaining questions do not exceed the limit"]);
    }
}

#[test]
fn recovery_replays_the_missed_frames_exactly_once() {
    let cursor = ("t1".to_owned(), 1);
    for (frames, is_valid) in [
        (vec![delta(2), delta(3), done("complete")], true),
        (vec![delta(2), done("interrupted")], true),
        (vec![delta(3), done("complete")], false),
        (vec![delta(1), delta(2), delta(3), done("complete")], false),
        (vec![delta(2), done("interrupted"), done("interrupted")], false),
        (vec![delta(2), delta(3), accepted(false), done("complete")], false),
    ] {
        let mut transcript = disconnected_after(&[session(), accepted(false), delta(1)]);
        let frames = [vec![resumed(true, &[])], frames].concat();
        let violations = observe(&mut transcript, &frames, Some(&cursor), 0);
        assert_eq!(violations.is_empty(), is_valid, "{frames:?}: {violations:?}");
    }
}

#[test]
fn reloaded_page_receives_the_rest_again() {
    let mut transcript = disconnected_after(&complete_answer());
    let cursor = transcript.rewind(|deltas| deltas - 2);
    assert_eq!(cursor, Some(("t1".to_owned(), 2)));
    let again = [resumed(true, &[]), delta(3), done("complete")];
    assert!(observe(&mut transcript, &again, cursor.as_ref(), 0).is_empty());
    transcript.rewind(|_| 0);
    assert!(!observe(&mut transcript, &again, cursor.as_ref(), 0).is_empty(), "the second word is missing");
}

#[test]
fn history_without_recovery_matches_and_contains_durable_turns() {
    for (history, losses, is_valid) in [
        (stored_messages(3, "complete"), 0, true),
        (stored_messages(3, "complete"), 1, true),
        (stored_messages(2, "complete"), 0, false),
        (stored_messages(3, "interrupted"), 1, false),
        (Vec::new(), 1, false),
    ] {
        let mut transcript = disconnected_after(&complete_answer());
        let violations = observe(&mut transcript, &[resumed(false, &history)], None, losses);
        assert_eq!(violations.is_empty(), is_valid, "{history:?}: {violations:?}");
    }
}

#[test]
fn interrupted_answer_may_be_shorter_but_keeps_its_question() {
    let received = [session(), accepted(false), delta(1), delta(2)];
    let mut other = stored_messages(1, "interrupted");
    other[1]["content"] = json!(word("v1q2", 1, 0));
    for (history, is_valid) in [
        (stored_messages(1, "interrupted"), true),
        (stored_messages(0, "interrupted"), true),
        (Vec::new(), false),
        (other, false),
    ] {
        let mut transcript = disconnected_after(&received);
        let violations = observe(&mut transcript, &[resumed(false, &history)], None, 1);
        assert_eq!(violations.is_empty(), is_valid, "{history:?}: {violations:?}");
    }
}

#[test]
fn non_durable_turn_may_be_missing_only_after_a_loss() {
    let mut question = accepted(false);
    question["durable"] = json!(false);
    let mut end = done("complete");
    end["durable"] = json!(false);
    let frames = [session(), question, delta(1), delta(2), delta(3), end];
    for (losses, is_valid) in [(0, false), (1, true)] {
        let mut transcript = disconnected_after(&frames);
        let violations = observe(&mut transcript, &[resumed(false, &[])], None, losses);
        assert_eq!(violations.is_empty(), is_valid, "{losses}: {violations:?}");
    }
}

#[test]
fn answer_in_progress_without_recovery_starts_at_its_beginning() {
    let mut transcript = disconnected_after(&[session(), accepted(false), delta(1)]);
    let frames =
        [resumed(false, &stored_messages(0, "answering")), delta(1), delta(2), delta(3), done("complete")];
    assert!(observe(&mut transcript, &frames, None, 0).is_empty());
    let mut transcript = disconnected_after(&[session(), accepted(false), delta(1)]);
    let frames = [resumed(false, &stored_messages(1, "answering")), delta(1), delta(2)];
    assert!(!observe(&mut transcript, &frames, None, 0).is_empty(), "in the history and again");
}

#[test]
fn replayed_answer_must_equal_the_first() {
    for (last_frame, is_valid) in [(done("complete"), true), (done("cancelled"), false)] {
        let again = [accepted(true), delta(1), delta(2), delta(3), last_frame];
        assert_eq!(violated_rules(&[complete_answer(), again.to_vec()].concat()).is_empty(), is_valid);
    }
    let shorter = [accepted(true), delta(1), delta(2), done("complete")];
    assert!(!violated_rules(&[complete_answer(), shorter.to_vec()].concat()).is_empty());
}

#[test]
fn second_turn_for_one_id_is_detected() {
    let mut other = accepted(false);
    other["turn_id"] = json!("t2");
    assert_eq!(violated_rules(&[complete_answer(), vec![other]].concat()), ["an id belongs to one turn"]);
}

#[test]
fn second_question_during_an_answer_is_detected() {
    let mut other = accepted(false);
    (other["turn_id"], other["id"]) = (json!("t2"), json!("v1q2"));
    assert_eq!(violated_rules(&[session(), accepted(false), other]), ["one turn at a time"]);
}

#[test]
fn final_history_must_be_complete_and_ended() {
    let transcript = disconnected_after(&complete_answer());
    let check = |messages: &[Value]| transcript.check_final_history(&stored_turns(&json!(messages)), 3);
    assert!(check(&stored_messages(3, "complete")).is_empty());
    assert!(!check(&stored_messages(2, "complete")).is_empty());
    assert!(!check(&stored_messages(3, "answering")).is_empty());
    assert!(!check(&[]).is_empty());
}

#[test]
fn delta_with_an_old_sequence_number_is_detected() {
    let mut second = delta(2);
    second["seq"] = json!(1);
    assert_eq!(
        violated_rules(&[session(), accepted(false), delta(1), second]),
        ["sequence numbers increase"]
    );
}

#[test]
fn error_without_done_is_detected() {
    let error = json!({"type": "error", "turn_id": "t1", "code": "API_ERROR"});
    assert!(!violated_rules(&[session(), accepted(false), delta(1), error, delta(2)]).is_empty());
}

#[test]
fn unknown_stored_turn_must_have_ended() {
    let violations =
        Transcript::default().check_final_history(&stored_turns(&json!(stored_messages(1, "answering"))), 0);
    assert_eq!(violations.len(), 1);
}

#[test]
fn recovery_without_a_cursor_is_detected() {
    assert_eq!(violated_rules(&[resumed(true, &[])]), ["recovery requires a cursor"]);
}

#[test]
fn answer_to_another_question_is_detected() {
    let mut other = accepted(false);
    other["id"] = json!("v1q2");
    assert!(!violated_rules(&[session(), other, delta(1), done("interrupted")]).is_empty());
}

#[test]
fn pending_answer_must_be_stored_as_received() {
    let mut end = done("complete");
    end["durable"] = json!(false);
    for (mode, history) in [("live", stored_messages(2, "complete")), ("excerpts", Vec::new())] {
        end["mode"] = json!(mode);
        let mut question = accepted(false);
        question["durable"] = json!(false);
        let transcript =
            disconnected_after(&[session(), question, delta(1), delta(2), delta(3), end.clone()]);
        assert!(!transcript.check_final_history(&stored_turns(&json!(history)), 0).is_empty(), "{mode}");
    }
}
