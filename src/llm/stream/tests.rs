//! Tests of a generation with its subscribers and the store.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::generation::Generation;
use super::outcome::Acceptance;
use super::snapshot::AnswerSnapshot;
use super::subscription::{AnswerProgress, Subscription};
use crate::domain::clock::Timestamp;
use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::persistence::records::{StoredMessage, StoredTurn};

fn message(snapshot: AnswerSnapshot) -> StoredMessage {
    let AnswerSnapshot { text, offsets } = snapshot;
    StoredMessage {
        content: text,
        tokens: 0,
        at: Timestamp(0),
        delta_offsets: offsets,
        citations: Vec::new(),
    }
}

fn stored(generation: &Generation, status: TurnStatus) -> StoredTurn {
    let question = AnswerSnapshot { text: "?".into(), offsets: Some(DeltaOffsets::default()) };
    StoredTurn {
        turn_id: generation.turn_id,
        client_id: None,
        status,
        mode: Some(AnswerMode::Live),
        model: None,
        usage: Usage::default(),
        asked_at: Timestamp(0),
        question: message(question),
        answer: Some(message(generation.snapshot())),
        failure: None,
        answered_by: None,
        regenerates: None,
        superseded_by: None,
        feedback: None,
    }
}

fn generation_of(deltas: &[String]) -> Arc<Generation> {
    let generation = Generation::new(TurnId::generate(), SessionId::generate(), None, AnswerMode::Live);
    generation.set_acceptance(Ok(Acceptance { durable: true }));
    for delta in deltas {
        generation.append(delta);
    }
    generation
}

/// Returns the text after delta `seq`, the number of its last delta and the status of the answer,
/// without waiting for more text.
fn read_after(generation: &Arc<Generation>, seq: u64) -> (String, u64, Option<TurnStatus>) {
    let mut subscription = Subscription::new(generation, seq).without_acceptance();
    let (mut text, mut last) = (String::new(), seq);
    loop {
        match subscription.next().now_or_never().flatten() {
            Some(AnswerProgress::Delta(delta)) => {
                text.push_str(&delta.text);
                last = delta.seq;
            }
            Some(AnswerProgress::Ended(outcome)) => return (text, last, Some(outcome.status)),
            Some(other) => panic!("{other:?}"),
            None if last == generation.last_seq().max(seq) => return (text, last, None),
            // There is more text, left to the next poll.
            None => {}
        }
    }
}

fn deltas() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("\\PC{1,12}", 0..30)
}

proptest! {
    #[test]
    fn generation_rebuilt_from_the_store_reads_the_same_from_every_position(deltas in deltas()) {
        let original = generation_of(&deltas);
        let turn = stored(&original, TurnStatus::Complete);
        let rebuilt = Generation::from_stored(original.session_id, &turn, turn.delta_ends());
        for seq in 0..=original.last_seq() {
            let (text, last, status) = read_after(&rebuilt, seq);
            let (original_text, original_last, _) = read_after(&original, seq);
            prop_assert_eq!((text, last), (original_text, original_last));
            prop_assert_eq!(status, Some(TurnStatus::Complete));
        }
    }

    #[test]
    fn cancelled_answer_keeps_only_the_text_that_was_seen(
        deltas in deltas(), seen in 0_u64..40, late in "\\PC{1,12}",
    ) {
        let generation = generation_of(&deltas);
        generation.cancel(Some(seen));
        prop_assert!(generation.append(&late), "late text is no error");
        let kept = usize::try_from(seen).unwrap().min(deltas.len());
        let closed = generation.close();
        prop_assert!(closed.is_cancelled);
        prop_assert_eq!(&*closed.snapshot.text, deltas[..kept].concat());
        prop_assert_eq!(closed.unseen, deltas[kept..].concat());
        let ends = closed.snapshot.offsets.and_then(|offsets| offsets.decode(&closed.snapshot.text));
        prop_assert_eq!(ends.map(|ends| ends.len()), Some(kept));
        // A subscriber that was further reads nothing more, and nothing panics.
        for seq in 0..=u64::try_from(deltas.len()).unwrap() {
            let rest = deltas[..kept].get(usize::try_from(seq).unwrap()..).unwrap_or_default().concat();
            prop_assert_eq!(read_after(&generation, seq).0, rest);
        }
    }

    #[test]
    fn generation_that_follows_the_store_becomes_the_same(
        deltas in deltas(), steps in prop::collection::vec(0_usize..30, 0..6),
    ) {
        let original = generation_of(&[]);
        let turn = stored(&original, TurnStatus::Answering);
        let follower = Generation::from_stored(original.session_id, &turn, turn.delta_ends());
        let mut sorted = steps;
        sorted.sort_unstable();
        let mut from = 0;
        for until in sorted.into_iter().map(|step| step.min(deltas.len())).chain([deltas.len()]) {
            for delta in &deltas[from..until] {
                original.append(delta);
            }
            from = until;
            prop_assert!(follower.catch_up(&stored(&original, TurnStatus::Answering)));
            prop_assert_eq!(follower.snapshot().offsets, original.snapshot().offsets);
            prop_assert_eq!(follower.snapshot().text, original.snapshot().text);
        }
    }
}

#[test]
fn closed_answer_cannot_be_cancelled() {
    let generation = generation_of(&["One ".to_owned(), "two.".to_owned()]);
    assert!(!generation.close().is_cancelled);
    generation.cancel(Some(1));
    assert_eq!(&*generation.text(), "One two.");
    assert!(!generation.close().is_cancelled);
}

#[test]
fn catch_up_rejects_an_answer_that_is_no_continuation() {
    let with_words =
        |words: &[&str]| generation_of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let follower = with_words(&["One ", "two "]);
    let others =
        [with_words(&["One "]), with_words(&["One ", "three "]), with_words(&["One two ", "three "])];
    for other in others {
        assert!(!follower.catch_up(&stored(&other, TurnStatus::Answering)), "{other:?}");
        assert_eq!(&*follower.text(), "One two ");
    }
}

#[test]
fn catch_up_rejects_an_answer_without_delta_offsets() {
    let follower = generation_of(&[]);
    let mut turn = stored(&generation_of(&["One ".to_owned()]), TurnStatus::Answering);
    turn.answer.as_mut().unwrap().delta_offsets = None;
    assert!(!follower.catch_up(&turn));
    assert!(follower.is_empty());
}
