//! The requests to the model for one question, and whether each is explained by a failure or a
//! visitor.

use std::time::Duration;

use super::Violation;
use super::rules::check_repeated_request;

/// How often the server process has been paused. A paused server sees a silent model, so that a
/// retry is justified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// The number of pauses that have begun.
    pub(crate) begun: u64,
    /// The number of pauses that are over.
    pub(crate) over: u64,
}

/// The answer that the model gives to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedAttempt {
    /// The number of words.
    pub(crate) words: usize,
    /// Whether the model fails before or during the answer.
    pub(crate) fails: bool,
}

/// One request to the model.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// The time since the beginning of the run.
    after: Duration,
    words: usize,
    /// Whether the model fails.
    fails: bool,
}

/// All requests for one question.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    attempts: Vec<Attempt>,
    /// The number of attempts that do not follow a failure. A visitor must have caused these.
    caused_by_visitor: usize,
    /// How often a visitor has sent the question.
    sent: usize,
    /// How often it was sent before it was confirmed as stored. Each of these may cause one
    /// request, possibly some time later.
    sent_before_durable: usize,
    /// Whether the question has been confirmed as stored.
    is_durable: bool,
    /// The number of pauses that were over at the last attempt.
    pauses_over: u64,
}

impl RequestLog {
    /// Records that a visitor sends the question, possibly again.
    pub(crate) fn record_sent(&mut self) {
        self.sent += 1;
        if !self.is_durable {
            self.sent_before_durable += 1;
        }
    }

    /// Records that the question has been confirmed as stored.
    pub(crate) fn record_durable(&mut self) {
        self.is_durable = true;
    }

    /// Records a request at the time `after` the beginning of the run. Returns the number of the
    /// attempt, from 1, and whether the request is justified. `plan` receives the number and
    /// chooses the answer.
    pub(crate) fn record_request(
        &mut self,
        key: &str,
        after: Duration,
        pauses: Pauses,
        plan: impl FnOnce(usize) -> PlannedAttempt,
    ) -> (usize, Result<(), Violation>) {
        // A pause counted before the last attempt may have taken effect only during it.
        let was_paused = pauses.begun > self.pauses_over;
        self.pauses_over = pauses.over;
        let previous_failed = self.attempts.last().is_some_and(|attempt| attempt.fails || was_paused);
        if !previous_failed {
            self.caused_by_visitor += 1;
        }
        let is_first = self.attempts.is_empty();
        let is_stored = self.sent_before_durable < self.caused_by_visitor;
        let mut result = check_repeated_request(previous_failed || is_first, is_stored, key);
        if let Err(violation) = &mut result {
            let Self { attempts, caused_by_visitor, sent, sent_before_durable, .. } = self;
            violation.detail.push_str(&format!(
                ": attempts so far {attempts:?}, {caused_by_visitor} not after a failure; sent {sent} times, \
                 {sent_before_durable} of them before it was confirmed as stored"
            ));
        }
        let number = self.attempts.len() + 1;
        let PlannedAttempt { words, fails } = plan(number);
        self.attempts.push(Attempt { after, words, fails });
        (number, result)
    }

    /// Returns the number of words of an attempt, or `None` if the model fails in it.
    pub(crate) fn planned_words(&self, attempt: usize) -> Option<usize> {
        let attempt = self.attempts.get(attempt.checked_sub(1)?)?;
        (!attempt.fails).then_some(attempt.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Pauses = Pauses { begun: 0, over: 0 };

    fn request(log: &mut RequestLog, pauses: Pauses, fails: bool) -> bool {
        let plan = |number| PlannedAttempt { words: 10 * number, fails };
        log.record_request("v1q1", Duration::ZERO, pauses, plan).1.is_ok()
    }

    #[test]
    fn request_is_justified_by_a_failure_or_a_repeated_question() {
        let mut log = RequestLog::default();
        log.record_sent();
        assert!(request(&mut log, NONE, true), "the first");
        assert!(request(&mut log, NONE, false), "the previous one failed");
        // The server is killed. The visitor does not know whether the question is stored, and
        // repeats it.
        log.record_sent();
        assert!(request(&mut log, NONE, false), "caused by the visitor");
        assert!(!request(&mut log, NONE, false), "without a cause");
        assert_eq!(
            (log.planned_words(1), log.planned_words(2), log.planned_words(5)),
            (None, Some(20), None)
        );
    }

    #[test]
    fn request_for_a_stored_question_is_not_justified_by_repeating_it() {
        let mut log = RequestLog::default();
        log.record_sent();
        assert!(request(&mut log, NONE, false));
        log.record_durable();
        log.record_sent();
        assert!(!request(&mut log, NONE, false));
    }

    #[test]
    fn question_repeated_before_its_request_arrives_justifies_one_request() {
        let mut log = RequestLog::default();
        log.record_sent();
        assert!(request(&mut log, NONE, false));
        // The server is killed and loses the question. It is sent, stored, and sent once more, all
        // before its request arrives.
        log.record_sent();
        log.record_durable();
        log.record_sent();
        assert!(request(&mut log, NONE, false), "caused by the second sending");
        assert!(!request(&mut log, NONE, false), "not caused by the third");
    }

    #[test]
    fn pause_justifies_a_request_only_if_it_was_during_the_previous_one() {
        let mut log = RequestLog::default();
        log.record_sent();
        assert!(request(&mut log, Pauses { begun: 1, over: 0 }, false));
        assert!(
            request(&mut log, Pauses { begun: 1, over: 1 }, false),
            "the pause may have begun after it was counted"
        );
        assert!(!request(&mut log, Pauses { begun: 1, over: 1 }, false));
        assert!(request(&mut log, Pauses { begun: 2, over: 1 }, false));
    }
}
