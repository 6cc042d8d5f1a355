//! What became of one question at the model: how often it was put there, and why.

use std::time::Duration;

use super::Violation;
use super::rules::second_request;

/// How often the server was stopped, and how many of these stops are over: one that is stopped sees
/// its model's server as silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stops {
    /// So many have begun.
    pub(crate) begun: u64,
    /// So many are over.
    pub(crate) over: u64,
}

/// One attempt to have a question answered.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// Since the run began.
    after: Duration,
    words: usize,
    /// Whether the model's server fails in it.
    faulty: bool,
}

/// The attempts to have one question answered.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    made: Vec<Attempt>,
    /// How many of them no failure before them explains: a visitor wanted those.
    wanted: usize,
    /// How often a visitor sent the question.
    sent: usize,
    /// How often when nobody had been told that it is stored: each may have it put to the model,
    /// and a moment may pass until it is.
    sent_in_doubt: usize,
    /// A visitor was told that it is stored.
    durable: bool,
    /// Stops that were over at the last attempt.
    stops_over: u64,
}

impl Attempts {
    /// A visitor sends the question, perhaps once more.
    pub(crate) fn send(&mut self) {
        self.sent += 1;
        if !self.durable {
            self.sent_in_doubt += 1;
        }
    }

    /// A visitor is told that the question is stored.
    pub(crate) fn is_durable(&mut self) {
        self.durable = true;
    }

    /// The question is put to the model so long `after` the run began; returns the number of the
    /// attempt, from 1, and whether there may be one. `plan` says how many words the attempt of
    /// this number has and whether the model's server fails in it.
    pub(crate) fn make(
        &mut self,
        key: &str,
        after: Duration,
        stops: Stops,
        plan: impl FnOnce(usize) -> (usize, bool),
    ) -> (usize, Result<(), Violation>) {
        // A stop that had begun when the last attempt came was perhaps still to take effect.
        let was_stopped = stops.begun > self.stops_over;
        self.stops_over = stops.over;
        let failed = self.made.last().is_some_and(|attempt| attempt.faulty || was_stopped);
        if !failed {
            self.wanted += 1;
        }
        let again = !self.made.is_empty();
        let mut verdict = second_request(failed || !again, self.sent_in_doubt < self.wanted, key);
        if let Err(violation) = &mut verdict {
            let Self { made, wanted, sent, sent_in_doubt, .. } = self;
            violation.detail.push_str(&format!(
                ": attempts so far {made:?}, {wanted} without a failure before them, sent {sent} times, {sent_in_doubt} of them \
                 before anybody knew that it is stored"
            ));
        }
        let number = self.made.len() + 1;
        let (words, faulty) = plan(number);
        self.made.push(Attempt { after, words, faulty });
        (number, verdict)
    }

    /// The words of an attempt, if the model gives them all.
    pub(crate) fn planned(&self, attempt: usize) -> Option<usize> {
        let made = self.made.get(attempt.checked_sub(1)?)?;
        (!made.faulty).then_some(made.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Stops = Stops { begun: 0, over: 0 };

    fn make(attempts: &mut Attempts, stops: Stops, faulty: bool) -> bool {
        attempts.make("v1q1", Duration::ZERO, stops, |number| (10 * number, faulty)).1.is_ok()
    }

    #[test]
    fn an_attempt_is_explained_by_a_failure_before_it_or_by_a_visitor_who_asks_again() {
        let mut it = Attempts::default();
        it.send();
        assert!(make(&mut it, NONE, true), "the first");
        assert!(make(&mut it, NONE, false), "the one before failed");
        // The server is killed, and the visitor, who never heard whether it was stored, asks again.
        it.send();
        assert!(make(&mut it, NONE, false), "a visitor wanted it");
        assert!(!make(&mut it, NONE, false), "nobody did");
        assert_eq!((it.planned(1), it.planned(2), it.planned(5)), (None, Some(20), None));
    }

    #[test]
    fn what_is_known_to_be_stored_is_not_asked_again() {
        let mut it = Attempts::default();
        it.send();
        assert!(make(&mut it, NONE, false));
        it.is_durable();
        it.send();
        assert!(!make(&mut it, NONE, false));
    }

    #[test]
    fn a_question_that_is_sent_again_before_its_request_has_arrived_is_no_reason_to_suspect_it() {
        let mut it = Attempts::default();
        it.send();
        assert!(make(&mut it, NONE, false));
        // The server is killed and has lost it. It is sent, stored, and sent once more, all while
        // its request is under way.
        it.send();
        it.is_durable();
        it.send();
        assert!(make(&mut it, NONE, false), "the second sending wanted it");
        assert!(!make(&mut it, NONE, false), "the third did not");
    }

    #[test]
    fn a_stop_explains_an_attempt_only_if_it_was_in_the_one_before() {
        let mut it = Attempts::default();
        it.send();
        assert!(make(&mut it, Stops { begun: 1, over: 0 }, false));
        assert!(
            make(&mut it, Stops { begun: 1, over: 1 }, false),
            "it may have begun a moment after it was counted"
        );
        assert!(!make(&mut it, Stops { begun: 1, over: 1 }, false));
        assert!(make(&mut it, Stops { begun: 2, over: 1 }, false));
    }
}
