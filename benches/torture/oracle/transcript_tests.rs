//! Each rule of a transcript is broken once, and must be seen to be.

use serde_json::{Value, json};

use super::numbered_words::word;
use super::transcript::{Facts, Place, Transcript, stored_turns};

/// Hears frames in a conversation in which the model gives three words; returns the rules that were
/// broken.
fn heard(
    transcript: &mut Transcript,
    frames: &[Value],
    from: Option<&Place>,
    losses: u64,
) -> Vec<&'static str> {
    let planned = |_: &str, _: usize| Some(3);
    let facts = Facts { planned: &planned, losses };
    let violations = frames.iter().flat_map(|frame| transcript.hear(frame, from, facts));
    violations.map(|violation| violation.rule).collect()
}

fn broken(frames: &[Value]) -> Vec<&'static str> {
    heard(&mut Transcript::default(), frames, None, 0)
}

/// A visitor who heard this and was cut off.
fn cut_off_after(frames: &[Value]) -> Transcript {
    let mut transcript = Transcript::default();
    assert!(heard(&mut transcript, frames, None, 0).is_empty());
    transcript.hang_up();
    transcript
}

fn session() -> Value {
    json!({"type": "session", "limits": {"requests_per_minute": 20, "remaining": 20}})
}

fn back(recovered: bool, history: &[Value]) -> Value {
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
    let place = usize::try_from(seq).unwrap() - 1;
    json!({"type": "delta", "turn_id": "t1", "seq": seq, "text": word("v1q1", 1, place)})
}

fn done(status: &str) -> Value {
    json!({"type": "done", "turn_id": "t1", "status": status, "mode": "live", "durable": true, "remaining": 19})
}

fn stored(words: usize, status: &str) -> Vec<Value> {
    let answer: String = (0..words).map(|place| word("v1q1", 1, place)).collect();
    let message = |role: &str, content: &str| json!({"turn_id": "t1", "role": role, "content": content, "status": status});
    let question = message("user", "What of v1q1?");
    if words == 0 { vec![question] } else { vec![question, message("assistant", &answer)] }
}

fn whole_answer() -> Vec<Value> {
    vec![session(), accepted(false), delta(1), delta(2), delta(3), done("complete")]
}

#[test]
fn a_whole_answer_keeps_every_promise() {
    assert_eq!(broken(&whole_answer()), Vec::<&str>::new());
}

#[test]
fn a_frame_that_is_left_out_or_comes_twice_is_seen_wherever_it_is() {
    for place in 1..whole_answer().len() {
        let mut frames = whole_answer();
        let frame = frames.remove(place);
        // Without its `done` an answer goes on, which whoever waits for it notices.
        assert_eq!(broken(&frames).is_empty(), place == 5, "without {frame}");
        frames.insert(place, frame.clone());
        frames.insert(place, frame.clone());
        assert!(!broken(&frames).is_empty(), "twice {frame}");
    }
}

#[test]
fn a_failure_must_be_explained_right_before_its_end() {
    let error = json!({"type": "error", "turn_id": "t1", "code": "API_ERROR"});
    let failed = |middle: &[Value]| {
        broken(&[&[session(), accepted(false), delta(1)], middle, &[done("failed")]].concat())
    };
    assert!(failed(std::slice::from_ref(&error)).is_empty());
    assert!(!failed(&[]).is_empty());
    assert!(!failed(&[error, delta(2)]).is_empty());
}

#[test]
fn more_left_than_the_limit_is_seen_in_every_frame_that_says_it() {
    for place in [0, 1, 5] {
        let mut frames = whole_answer();
        match place {
            0 => frames[0]["limits"]["remaining"] = json!(21),
            _ => frames[place]["remaining"] = json!(21),
        }
        assert_eq!(broken(&frames), ["no more questions are left than the limit"]);
    }
}

#[test]
fn what_was_missed_is_said_once_after_a_cursor() {
    let from = ("t1".to_owned(), 1);
    for (frames, fine) in [
        (vec![delta(2), delta(3), done("complete")], true),
        (vec![delta(2), done("interrupted")], true),
        (vec![delta(3), done("complete")], false),
        (vec![delta(1), delta(2), delta(3), done("complete")], false),
        (vec![delta(2), done("interrupted"), done("interrupted")], false),
        (vec![delta(2), delta(3), accepted(false), done("complete")], false),
    ] {
        let mut transcript = cut_off_after(&[session(), accepted(false), delta(1)]);
        let frames = [vec![back(true, &[])], frames].concat();
        let found = heard(&mut transcript, &frames, Some(&from), 0);
        assert_eq!(found.is_empty(), fine, "{frames:?}: {found:?}");
    }
}

#[test]
fn a_page_that_was_loaded_again_hears_the_rest_once_more() {
    let mut transcript = cut_off_after(&whole_answer());
    let from = transcript.go_back(|deltas| deltas - 2);
    assert_eq!(from, Some(("t1".to_owned(), 2)));
    let again = [back(true, &[]), delta(3), done("complete")];
    assert!(heard(&mut transcript, &again, from.as_ref(), 0).is_empty());
    transcript.go_back(|_| 0);
    assert!(!heard(&mut transcript, &again, from.as_ref(), 0).is_empty(), "the second word is missing");
}

#[test]
fn without_recovery_the_history_is_what_was_said_and_has_all_that_is_durable() {
    for (history, losses, fine) in [
        (stored(3, "complete"), 0, true),
        (stored(3, "complete"), 1, true),
        (stored(2, "complete"), 0, false),
        (stored(3, "interrupted"), 1, false),
        (Vec::new(), 1, false),
    ] {
        let mut transcript = cut_off_after(&whole_answer());
        let found = heard(&mut transcript, &[back(false, &history)], None, losses);
        assert_eq!(found.is_empty(), fine, "{history:?}: {found:?}");
    }
}

#[test]
fn an_answer_that_was_cut_off_may_be_shorter_but_not_another_and_its_question_is_kept() {
    let begun = [session(), accepted(false), delta(1), delta(2)];
    let mut other = stored(1, "interrupted");
    other[1]["content"] = json!(word("v1q2", 1, 0));
    for (history, fine) in [
        (stored(1, "interrupted"), true),
        (stored(0, "interrupted"), true),
        (Vec::new(), false),
        (other, false),
    ] {
        let mut transcript = cut_off_after(&begun);
        let found = heard(&mut transcript, &[back(false, &history)], None, 1);
        assert_eq!(found.is_empty(), fine, "{history:?}: {found:?}");
    }
}

#[test]
fn what_is_not_durable_may_be_lost_with_the_server_and_only_then() {
    let mut question = accepted(false);
    question["durable"] = json!(false);
    let mut end = done("complete");
    end["durable"] = json!(false);
    let frames = [session(), question, delta(1), delta(2), delta(3), end];
    for (losses, fine) in [(0, false), (1, true)] {
        let mut transcript = cut_off_after(&frames);
        let found = heard(&mut transcript, &[back(false, &[])], None, losses);
        assert_eq!(found.is_empty(), fine, "{losses}: {found:?}");
    }
}

#[test]
fn a_live_answer_without_recovery_is_told_from_its_beginning() {
    let mut transcript = cut_off_after(&[session(), accepted(false), delta(1)]);
    let frames = [back(false, &stored(0, "answering")), delta(1), delta(2), delta(3), done("complete")];
    assert!(heard(&mut transcript, &frames, None, 0).is_empty());
    let mut transcript = cut_off_after(&[session(), accepted(false), delta(1)]);
    let frames = [back(false, &stored(1, "answering")), delta(1), delta(2)];
    assert!(!heard(&mut transcript, &frames, None, 0).is_empty(), "in the history and again");
}

#[test]
fn an_answer_said_again_is_held_against_the_first() {
    for (last, fine) in [(done("complete"), true), (done("cancelled"), false)] {
        let again = [accepted(true), delta(1), delta(2), delta(3), last];
        assert_eq!(broken(&[whole_answer(), again.to_vec()].concat()).is_empty(), fine);
    }
    let shorter = [accepted(true), delta(1), delta(2), done("complete")];
    assert!(!broken(&[whole_answer(), shorter.to_vec()].concat()).is_empty());
}

#[test]
fn another_turn_for_the_same_id_is_seen() {
    let mut other = accepted(false);
    other["turn_id"] = json!("t2");
    assert_eq!(broken(&[whole_answer(), vec![other]].concat()), ["an id belongs to one turn"]);
}

#[test]
fn a_second_question_during_an_answer_is_seen() {
    let mut other = accepted(false);
    (other["turn_id"], other["id"]) = (json!("t2"), json!("v1q2"));
    assert_eq!(broken(&[session(), accepted(false), other]), ["one turn at a time"]);
}

#[test]
fn at_the_end_the_store_has_all_that_was_told_and_nothing_is_open() {
    let transcript = cut_off_after(&whole_answer());
    let verify = |messages: &[Value]| transcript.verify(&stored_turns(&json!(messages)), 3);
    assert!(verify(&stored(3, "complete")).is_empty());
    assert!(!verify(&stored(2, "complete")).is_empty());
    assert!(!verify(&stored(3, "answering")).is_empty());
    assert!(!verify(&[]).is_empty());
}

#[test]
fn a_delta_under_an_old_number_is_seen_even_when_its_words_are_right() {
    let mut second = delta(2);
    second["seq"] = json!(1);
    assert_eq!(broken(&[session(), accepted(false), delta(1), second]), ["the numbers of deltas grow"]);
}

#[test]
fn an_error_of_a_turn_that_goes_on_is_seen() {
    let error = json!({"type": "error", "turn_id": "t1", "code": "API_ERROR"});
    assert!(!broken(&[session(), accepted(false), delta(1), error, delta(2)]).is_empty());
}

#[test]
fn a_turn_that_nobody_was_told_of_must_end_too() {
    let verified = Transcript::default().verify(&stored_turns(&json!(stored(1, "answering"))), 0);
    assert_eq!(verified.len(), 1);
}

#[test]
fn a_recovery_without_a_cursor_is_seen() {
    assert_eq!(broken(&[back(true, &[])]), ["recovery starts from a cursor"]);
}

#[test]
fn the_answer_to_another_question_is_seen() {
    let mut other = accepted(false);
    other["id"] = json!("v1q2");
    assert!(!broken(&[session(), other, delta(1), done("interrupted")]).is_empty());
}

#[test]
fn an_answer_that_is_still_to_be_written_is_written_as_it_was_told() {
    let mut end = done("complete");
    end["durable"] = json!(false);
    for (mode, history) in [("live", stored(2, "complete")), ("excerpts", Vec::new())] {
        end["mode"] = json!(mode);
        let mut question = accepted(false);
        question["durable"] = json!(false);
        let transcript = cut_off_after(&[session(), question, delta(1), delta(2), delta(3), end.clone()]);
        assert!(!transcript.verify(&stored_turns(&json!(history)), 0).is_empty(), "{mode}");
    }
}
