//! What a log has come to, to be stored; and a log made again of what was stored.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::delta_offsets::Boundaries;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::SessionId;
use crate::domain::turn::{AnswerMode, TurnStatus};
use crate::llm::stream::buffer::{Log, Stopped};
use crate::llm::stream::generation::{Acceptance, Generation, Outcome};
use crate::persistence::records::StoredTurn;
use crate::tokens::pieces;

/// Most bytes of one delta of an answer that was stored without its boundaries.
const MAX_PIECE_BYTES: usize = 2 * 1024;

/// An answer as far as it is, with where its deltas end.
#[derive(Clone, Debug)]
pub struct Said {
    /// The text.
    pub text: Arc<str>,
    /// Where its deltas end; `None` once an attempt at the answer was void: the number of a delta may be one of that.
    pub boundaries: Option<Boundaries>,
}

impl Generation {
    /// What was answered so far.
    #[must_use]
    pub fn said(&self) -> Said {
        self.lock().said()
    }

    /// Takes nothing more, and returns what was answered, whether the visitor stopped it, and what they were not shown of it
    /// then. From now on it is too late to cancel.
    #[must_use]
    pub fn close(&self) -> (Said, bool, String) {
        self.change(|log| {
            let cancelled = *log.stopped.get_or_insert(Stopped::AtItsEnd) == Stopped::ByVisitor;
            (log.said(), cancelled, std::mem::take(&mut log.unseen))
        })
    }

    /// The log of a turn that is stored, its deltas ending at `ends`; without them, at any places. It has ended unless the turn
    /// is `answering`.
    #[must_use]
    pub fn of_stored(session_id: SessionId, turn: &StoredTurn, ends: Option<Vec<usize>>) -> Arc<Self> {
        let text = turn.answer.as_ref().map_or("", |answer| &answer.content).to_owned();
        let ends = ends.unwrap_or_else(|| ends_of_pieces(&text));
        let outcome = outcome_of(turn).map(Arc::new);
        let stopped = outcome.as_ref().map(|_| Stopped::AtItsEnd);
        let mut log = Log::new(turn.mode.unwrap_or(AnswerMode::Live));
        log.acceptance = Some(Ok(Acceptance { durable: true }));
        (log.text, log.ends, log.outcome, log.stopped) = (text, ends, outcome, stopped);
        Arc::new(Self {
            turn_id: turn.turn_id,
            session_id,
            client_id: turn.client_id.clone(),
            log: Mutex::new(log),
            cancelled: CancellationToken::new(),
            subscribers: watch::Sender::new(0),
        })
    }

    /// Appends what a stored answer has beyond this log. Returns false, and takes nothing, when it is no continuation of it, or
    /// when nobody knows where its deltas end.
    pub fn catch_up(&self, turn: &StoredTurn) -> bool {
        let Some(answer) = &turn.answer else { return self.is_empty() };
        let Some(ends) = turn.delta_ends() else { return false };
        self.change(|log| {
            if log.stopped.is_some() {
                return true;
            }
            let (Some(more), Some(new_ends)) =
                (answer.content.strip_prefix(log.text.as_str()), ends.strip_prefix(log.ends.as_slice()))
            else {
                return false;
            };
            log.text.push_str(more);
            log.ends.extend_from_slice(new_ends);
            true
        })
    }
}

impl Log {
    fn said(&self) -> Said {
        let boundaries = self.is_the_only_attempt().then(|| Boundaries::of(&self.ends));
        Said { text: self.text.as_str().into(), boundaries }
    }
}

/// How a stored turn ended; `None` when it has not.
pub(in crate::llm) fn outcome_of(turn: &StoredTurn) -> Option<Outcome> {
    (turn.status != TurnStatus::Answering).then(|| Outcome {
        status: turn.status,
        failure: (turn.status == TurnStatus::Failed).then(|| {
            // Older versions did not keep why.
            turn.failure.unwrap_or(ErrorCode::ApiError).into()
        }),
        usage: turn.usage,
        answer_tokens: turn.answer.as_ref().map_or(0, |answer| answer.tokens),
        model: turn.model.clone(),
        citations: turn.answer.as_ref().map_or_else(Vec::new, |answer| answer.citations.clone()),
        durable: true,
    })
}

fn ends_of_pieces(text: &str) -> Vec<usize> {
    pieces(text, MAX_PIECE_BYTES)
        .scan(0, |end, piece| {
            Some({
                *end += piece.len();
                *end
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::ids::TurnId;
    use crate::domain::turn::Usage;
    use crate::llm::stream::subscription::Progress;
    use crate::persistence::records::StoredMessage;

    fn message(said: Said) -> StoredMessage {
        let Said { text, boundaries } = said;
        StoredMessage {
            content: text,
            tokens: 0,
            at: Timestamp(0),
            delta_offsets: boundaries,
            citations: Vec::new(),
        }
    }

    fn stored(generation: &Generation, status: TurnStatus) -> StoredTurn {
        StoredTurn {
            turn_id: generation.turn_id,
            client_id: None,
            status,
            mode: Some(AnswerMode::Live),
            model: None,
            usage: Usage::default(),
            asked_at: Timestamp(0),
            question: message(Said { text: "?".into(), boundaries: Some(Boundaries::default()) }),
            answer: Some(message(generation.said())),
            failure: None,
            answered_by: None,
            regenerates: None,
            superseded_by: None,
            feedback: None,
        }
    }

    fn live(deltas: &[String]) -> Arc<Generation> {
        let generation = Generation::new(TurnId::generate(), SessionId::generate(), None, AnswerMode::Live);
        generation.settle_question(Ok(Acceptance { durable: true }));
        for delta in deltas {
            generation.append(delta);
        }
        generation
    }

    /// The text after delta `seq`, the number of the last delta in it, and how the answer ended; what is not there yet is not
    /// waited for.
    fn after(generation: &Arc<Generation>, seq: u64) -> (String, u64, Option<TurnStatus>) {
        let mut subscription = generation.subscribe(seq).accepted_before();
        let (mut text, mut last) = (String::new(), seq);
        loop {
            match subscription.next().now_or_never().flatten() {
                Some(Progress::Delta(delta)) => {
                    text.push_str(&delta.text);
                    last = delta.seq;
                }
                Some(Progress::Ended(outcome)) => return (text, last, Some(outcome.status)),
                Some(other) => panic!("{other:?}"),
                None if last == generation.last_seq().max(seq) => return (text, last, None),
                // It has more, but for the next poll.
                None => {}
            }
        }
    }

    fn deltas() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("\\PC{1,12}", 0..30)
    }

    proptest! {
        #[test]
        fn a_log_made_of_what_was_stored_says_what_the_log_said_from_every_place(deltas in deltas()) {
            let original = live(&deltas);
            let turn = stored(&original, TurnStatus::Complete);
            let again = Generation::of_stored(original.session_id, &turn, turn.delta_ends());
            for seq in 0..=original.last_seq() {
                let (text, last, status) = after(&again, seq);
                prop_assert_eq!((text, last), { let (text, last, _) = after(&original, seq); (text, last) });
                prop_assert_eq!(status, Some(TurnStatus::Complete));
            }
        }

        #[test]
        fn what_was_seen_when_an_answer_was_stopped_is_all_that_is_left_of_it(
            deltas in deltas(), seen in 0_u64..40, late in "\\PC{1,12}",
        ) {
            let generation = live(&deltas);
            generation.cancel(Some(seen));
            prop_assert!(generation.append(&late), "what comes too late is no fault");
            let kept = usize::try_from(seen).unwrap().min(deltas.len());
            let (said, cancelled, unseen) = generation.close();
            prop_assert!(cancelled);
            prop_assert_eq!(&*said.text, deltas[..kept].concat());
            prop_assert_eq!(unseen, deltas[kept..].concat());
            prop_assert_eq!(said.boundaries.and_then(|it| it.ends_in(&said.text)).map(|ends| ends.len()), Some(kept));
            // A reader who was further gets nothing more, and no panic.
            for seq in 0..=u64::try_from(deltas.len()).unwrap() {
                let rest = deltas[..kept].get(usize::try_from(seq).unwrap()..).unwrap_or_default().concat();
                prop_assert_eq!(after(&generation, seq).0, rest);
            }
        }

        #[test]
        fn a_log_that_follows_another_by_what_is_stored_of_it_becomes_the_same(
            deltas in deltas(), steps in prop::collection::vec(0_usize..30, 0..6),
        ) {
            let original = live(&[]);
            let turn = stored(&original, TurnStatus::Answering);
            let follower = Generation::of_stored(original.session_id, &turn, turn.delta_ends());
            let mut sorted = steps;
            sorted.sort_unstable();
            let mut from = 0;
            for until in sorted.into_iter().map(|step| step.min(deltas.len())).chain([deltas.len()]) {
                for delta in &deltas[from..until] {
                    original.append(delta);
                }
                from = until;
                prop_assert!(follower.catch_up(&stored(&original, TurnStatus::Answering)));
                prop_assert_eq!(follower.said().boundaries, original.said().boundaries);
                prop_assert_eq!(follower.said().text, original.said().text);
            }
        }
    }

    #[test]
    fn an_answer_that_has_ended_cannot_be_stopped_any_more() {
        let generation = live(&["One ".to_owned(), "two.".to_owned()]);
        assert!(!generation.close().1);
        generation.cancel(Some(1));
        assert_eq!(&*generation.text(), "One two.");
        assert!(!generation.close().1);
    }

    #[test]
    fn what_is_no_continuation_is_not_followed() {
        let words = |words: &[&str]| live(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let follower = words(&["One ", "two "]);
        for other in [words(&["One "]), words(&["One ", "three "]), words(&["One two ", "three "])] {
            assert!(!follower.catch_up(&stored(&other, TurnStatus::Answering)), "{other:?}");
            assert_eq!(&*follower.text(), "One two ");
        }
    }

    #[test]
    fn words_without_a_place_are_not_followed() {
        let follower = live(&[]);
        let mut turn = stored(&live(&["One ".to_owned()]), TurnStatus::Answering);
        turn.answer.as_mut().unwrap().delta_offsets = None;
        assert!(!follower.catch_up(&turn));
        assert!(follower.is_empty());
    }
}
