//! The frames of one session as a visitor received them, checked against the rules one by one.

use serde_json::Value;

use super::Violation;
use super::numbered_words::{find_key, parse_answer};
use super::rules::{
    ExpectedTurn, StoredTurn, TurnEnd, check_answer_matches_question, check_complete,
    check_error_before_failure, check_one_turn_per_question, check_remaining, check_replay,
    check_seq_increases, check_stored,
};

/// A resume cursor: the turn id and the sequence number of the last delta.
pub(crate) type Cursor = (String, u64);

/// Facts about the run that the transcript itself does not contain.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Returns the number of words of an attempt at a question, or `None` if the model fails in it.
    pub(crate) planned_words: &'a dyn Fn(&str, usize) -> Option<usize>,
    /// How often the server has ended without writing everything.
    pub(crate) losses: u64,
}

/// The turns of a session as received by a visitor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// The rate limit, from the `session` frame.
    limit: Option<u64>,
    /// The turns, ordered by id.
    turns: Vec<Turn>,
    /// The turn whose answer is in progress on this connection.
    following: Option<String>,
    /// The turn whose `error` was the last frame.
    failing: Option<String>,
    /// Whether the session was resumed with `recovered: true`, so that frames of any turn may
    /// follow.
    is_catching_up: bool,
    /// [`Facts::losses`] at the start of the session.
    losses_at_start: u64,
    /// The newest turn, if the history shows it without an answer. It may have ended just then, so
    /// that its answer may follow as deltas.
    may_follow: Option<String>,
}

/// One turn as received by a visitor.
#[derive(Clone, Debug)]
struct Turn {
    id: String,
    /// The key of the question.
    key: Option<String>,
    text: String,
    /// The sequence number of each delta, and the length of the text up to it.
    deltas: Vec<(u64, usize)>,
    question_is_durable: bool,
    end: Option<TurnEnd>,
    /// Text and end of the turn before it was replayed.
    earlier: Option<(String, TurnEnd)>,
    /// [`Facts::losses`] at the last frame of the turn.
    losses: u64,
}

impl Transcript {
    /// Returns whether an answer is in progress on this connection.
    pub(crate) fn is_following(&self) -> bool {
        self.following.is_some()
    }

    /// Returns the key of the question whose answer is in progress.
    pub(crate) fn current_key(&self) -> Option<&str> {
        let id = self.following.as_ref()?;
        self.turns.iter().find(|turn| turn.id == *id)?.key.as_deref()
    }

    /// Records the end of the connection.
    pub(crate) fn disconnect(&mut self) {
        self.following = None;
        self.failing = None;
        self.is_catching_up = false;
    }

    /// Returns the cursor of the last delta received.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        let turn = self.turns.last()?;
        Some((turn.id.clone(), turn.deltas.last()?.0))
    }

    /// Discards the last deltas of the newest turn, as a page reload does, and returns the
    /// resulting cursor. `choose` receives the number of deltas and chooses the index of the last
    /// one to keep.
    pub(crate) fn rewind(&mut self, choose: impl FnOnce(usize) -> usize) -> Option<Cursor> {
        let turn = self.turns.last_mut()?;
        if turn.deltas.is_empty() {
            return None;
        }
        let kept = choose(turn.deltas.len()) + 1;
        turn.rewind(kept);
        self.cursor()
    }

    /// Checks and records the next frame. `cursor` is the one of the `resume` request if the frame
    /// is the reply to it.
    pub(crate) fn observe(
        &mut self,
        frame: &Value,
        cursor: Option<&Cursor>,
        facts: Facts<'_>,
    ) -> Vec<Violation> {
        let kind = text(frame, "type");
        let failing = self.failing.take();
        let mut violations = match kind {
            "session" => self.observe_session(frame, cursor, facts),
            "accepted" => self.observe_accepted(frame, facts),
            "delta" => self.observe_delta(frame, facts),
            "reset" => self.observe_reset(frame),
            "done" => self.observe_done(frame, failing.as_deref(), facts),
            "error" => {
                self.failing = frame.get("turn_id").and_then(Value::as_str).map(ToOwned::to_owned);
                Vec::new()
            }
            "history" => self.check_history(&stored_turns(frame.get("messages").unwrap_or(&Value::Null))),
            _ => Vec::new(),
        };
        if let Some(turn) = failing.filter(|_| kind != "done") {
            violations.push(Violation::new(
                "the error of a turn directly precedes its done",
                format!("{turn}: received {kind}"),
            ));
        }
        if let Some(remaining) = frame.get("remaining").and_then(Value::as_u64) {
            violations.extend(check_remaining(remaining, self.limit.unwrap_or(u64::MAX)).err());
        }
        violations
    }

    fn observe_session(
        &mut self,
        frame: &Value,
        cursor: Option<&Cursor>,
        facts: Facts<'_>,
    ) -> Vec<Violation> {
        let limits = frame.get("limits").unwrap_or(&Value::Null);
        let number = |field: &str| limits.get(field).and_then(Value::as_u64).unwrap_or_default();
        self.limit = Some(number("requests_per_minute"));
        let mut violations = Vec::new();
        violations.extend(check_remaining(number("remaining"), number("requests_per_minute")).err());
        self.disconnect();
        if !is_true(frame, "resumed") {
            self.losses_at_start = facts.losses;
            return violations;
        }
        let stored = stored_turns(frame.get("history").unwrap_or(&Value::Null));
        violations.extend(self.check_history(&stored));
        if is_true(frame, "recovered") {
            self.is_catching_up = true;
            self.following = cursor.map(|(turn, _)| turn.clone());
            if cursor.is_none() {
                violations.push(Violation::new("recovery requires a cursor", "recovered without one"));
            }
            return violations;
        }
        if !is_true(frame, "more") {
            violations.extend(self.check_complete_history(&stored, facts.losses));
        }
        self.replace_by_history(&stored, facts.losses);
        violations
    }

    /// Checks a history that must contain all turns.
    fn check_complete_history(&self, stored: &[StoredTurn], losses: u64) -> Vec<Violation> {
        let check = |turn: &Turn| {
            let stored_turn = stored.iter().find(|stored| stored.turn_id == turn.id);
            let mut expected = turn.expected(losses);
            // The history omits an answer that follows as deltas.
            if stored_turn.is_some_and(|stored| stored.answer.is_empty() && stored.status == "answering") {
                expected.answer = None;
            }
            check_stored(expected, stored_turn).err()
        };
        self.turns.iter().filter_map(check).collect()
    }

    /// Returns whether the session must be in the store: some part of it was confirmed as stored,
    /// or no data has been lost since its start.
    pub(crate) fn must_exist(&self, losses: u64) -> bool {
        let is_durable =
            |turn: &Turn| turn.question_is_durable || turn.end.as_ref().is_some_and(|end| end.durable);
        self.losses_at_start == losses || self.turns.iter().any(is_durable)
    }

    /// Returns whether the question was confirmed as stored.
    pub(crate) fn is_question_stored(&self, key: &str) -> bool {
        self.turns.iter().any(|turn| turn.question_is_durable && turn.key.as_deref() == Some(key))
    }

    /// Replaces the turns by those of a history, after a resume without recovery.
    fn replace_by_history(&mut self, stored: &[StoredTurn], losses: u64) {
        self.may_follow = None;
        for stored_turn in stored {
            let is_newest = stored.last().is_some_and(|newest| newest.turn_id == stored_turn.turn_id);
            let turn = self.turn_mut(&stored_turn.turn_id, losses);
            turn.rewind(0);
            turn.text.clone_from(&stored_turn.answer);
            turn.key = find_key(&stored_turn.question).map(ToOwned::to_owned);
            if stored_turn.status == "answering" {
                self.following = Some(stored_turn.turn_id.clone());
            } else if stored_turn.answer.is_empty() && is_newest {
                self.may_follow = Some(stored_turn.turn_id.clone());
            } else {
                // A history contains only what is in the store.
                turn.question_is_durable = true;
                let status = stored_turn.status.clone();
                turn.end = Some(TurnEnd { status, durable: true, is_live: true });
            }
        }
        // A turn that is neither stored nor pending was lost. Ids are ordered by time.
        self.turns.retain(|turn| {
            let is_stored = stored.iter().any(|stored_turn| stored_turn.turn_id == turn.id);
            is_stored || turn.end.is_some() || turn.losses == losses
        });
        self.turns.sort_by(|first, second| first.id.cmp(&second.id));
    }

    fn observe_accepted(&mut self, frame: &Value, facts: Facts<'_>) -> Vec<Violation> {
        let (id, key) = (text(frame, "turn_id"), text(frame, "id"));
        let mut violations = Vec::new();
        let has_other_id = |turn: &Turn| turn.key.as_deref() == Some(key) && turn.id != id;
        if let Some(known) = self.turns.iter().find(|turn| has_other_id(turn)) {
            if known.question_is_durable || known.losses == facts.losses {
                let detail = format!("{key} was {} and is {id}", known.id);
                violations.push(Violation::new("an id belongs to one turn", detail));
            }
            self.turns.retain(|turn| !has_other_id(turn));
        }
        if let Some(other) = self.following.as_deref().filter(|following| *following != id) {
            let detail = format!("{id} was accepted during {other}");
            violations.push(Violation::new("one turn at a time", detail));
        }
        let is_attached = self.following.as_deref() == Some(id);
        let is_known = self.turns.iter().any(|turn| turn.id == id);
        if is_known && !is_true(frame, "duplicate") {
            violations.push(Violation::new("a turn is accepted once", format!("{id} ({key}) again")));
        }
        let turn = self.turn_mut(id, facts.losses);
        turn.key = Some(key.to_owned());
        turn.question_is_durable |= is_true(frame, "durable");
        turn.losses = facts.losses;
        if !is_attached {
            turn.rewind(0);
        }
        self.following = Some(id.to_owned());
        self.is_catching_up = false;
        violations
    }

    fn observe_delta(&mut self, frame: &Value, facts: Facts<'_>) -> Vec<Violation> {
        let id = text(frame, "turn_id");
        let mut violations: Vec<Violation> = self.check_followed(id, "delta").err().into_iter().collect();
        let seq = frame.get("seq").and_then(Value::as_u64).unwrap_or_default();
        let turn = self.turn_mut(id, facts.losses);
        let last = turn.deltas.last().map_or(0, |(seq, _)| *seq);
        violations.extend(check_seq_increases(last, seq).err());
        turn.text.push_str(text(frame, "text"));
        turn.deltas.push((seq, turn.text.len()));
        violations.extend(parse_answer(&turn.text).err());
        violations
    }

    fn observe_reset(&mut self, frame: &Value) -> Vec<Violation> {
        let id = text(frame, "turn_id");
        let violations = self.check_followed(id, "reset").err().into_iter().collect();
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.id == id) {
            turn.rewind(0);
        }
        violations
    }

    fn observe_done(&mut self, frame: &Value, failing: Option<&str>, facts: Facts<'_>) -> Vec<Violation> {
        let (id, status) = (text(frame, "turn_id"), text(frame, "status"));
        let mut violations: Vec<Violation> = self.check_followed(id, "done").err().into_iter().collect();
        violations.extend(check_error_before_failure(status, failing == Some(id)).err());
        self.following = None;
        let is_live = text(frame, "mode") == "live";
        let end = TurnEnd { status: status.to_owned(), durable: is_true(frame, "durable"), is_live };
        let turn = self.turn_mut(id, facts.losses);
        turn.losses = facts.losses;
        if let Some((text, first)) = turn.earlier.take() {
            violations.extend(check_replay((&text, &first), (&turn.text, &end), id).err());
        }
        if is_live {
            violations.extend(turn.check_answer(status, facts).err());
        }
        turn.end = Some(end);
        violations
    }

    /// Checks a history: answers are from the model, and known turns match.
    fn check_history(&self, stored: &[StoredTurn]) -> Vec<Violation> {
        let keys: Vec<&str> = stored.iter().filter_map(|turn| find_key(&turn.question)).collect();
        let mut violations: Vec<Violation> = check_one_turn_per_question(&keys).err().into_iter().collect();
        for stored_turn in stored {
            let key = find_key(&stored_turn.question);
            violations.extend(key.and_then(|key| check_answer_matches_question(stored_turn, key).err()));
            // The history omits an answer that follows as deltas.
            let matches = |turn: &&Turn| turn.id == stored_turn.turn_id && !stored_turn.answer.is_empty();
            let known = self.turns.iter().find(matches);
            // With this number of losses only durable data is expected. Other data may still be
            // waiting to be written.
            let check = |turn: &Turn| check_stored(turn.expected(u64::MAX), Some(stored_turn)).err();
            violations.extend(known.and_then(check));
        }
        violations
    }

    /// Checks the whole session against the store, at the end of a run.
    pub(crate) fn check_final_history(&self, stored: &[StoredTurn], losses: u64) -> Vec<Violation> {
        let mut violations = self.check_history(stored);
        for turn in &self.turns {
            let stored_turn = stored.iter().find(|stored| stored.turn_id == turn.id);
            violations.extend(check_stored(turn.expected(losses), stored_turn).err());
        }
        for turn in stored.iter().filter(|turn| turn.status == "answering") {
            violations
                .push(Violation::new("every turn ends", format!("{} is still answering", turn.turn_id)));
        }
        violations
    }

    /// Checks that a frame belongs to the turn in progress.
    fn check_followed(&mut self, id: &str, kind: &str) -> Result<(), Violation> {
        if self.following.as_deref() == Some(id) {
            return Ok(());
        }
        if self.following.is_none() && self.may_follow.take().is_some_and(|turn| turn == id) {
            self.following = Some(id.to_owned());
            return Ok(());
        }
        if self.is_catching_up && self.following.is_none() && kind != "done" {
            self.following = Some(id.to_owned());
            return Ok(());
        }
        Err(Violation::new(
            "frames of a turn arrive between its accepted and its only done",
            format!("{kind} of {id} while following {:?}", self.following),
        ))
    }

    /// Returns the turn with this id. Adds it if it is unknown.
    fn turn_mut(&mut self, id: &str, losses: u64) -> &mut Turn {
        let index = self.turns.iter().position(|turn| turn.id == id).unwrap_or(self.turns.len());
        if index == self.turns.len() {
            self.turns.push(Turn::new(id, losses));
        }
        &mut self.turns[index]
    }
}

impl Turn {
    fn new(id: &str, losses: u64) -> Self {
        Self {
            id: id.to_owned(),
            key: None,
            text: String::new(),
            deltas: Vec::new(),
            question_is_durable: false,
            end: None,
            earlier: None,
            losses,
        }
    }

    /// Keeps only the first deltas, because the server will send the others again.
    fn rewind(&mut self, deltas: usize) {
        if let Some(end) = self.end.take() {
            self.earlier = Some((self.text.clone(), end));
        }
        self.deltas.truncate(deltas);
        let length = self.deltas.last().map_or(0, |(_, length)| *length);
        self.text.truncate(length);
    }

    /// Checks that the text is the answer to this question, and complete if the status requires it.
    fn check_answer(&self, status: &str, facts: Facts<'_>) -> Result<(), Violation> {
        let Some(answer) = parse_answer(&self.text)? else { return check_complete(status, 0, 1) };
        if let Some(key) = self.key.as_ref().filter(|key| **key != answer.key) {
            let detail = format!("{} asked {key} and received {}", self.id, answer.key);
            return Err(Violation::new("an answer belongs to its question", detail));
        }
        let planned = (facts.planned_words)(&answer.key, answer.attempt).unwrap_or_default();
        check_complete(status, answer.words, planned)
    }

    /// Returns what must be in the store after this number of losses.
    fn expected(&self, losses: u64) -> ExpectedTurn<'_> {
        let nothing_lost = self.losses == losses;
        let end = self.end.as_ref().map(|end| (&self.text, end));
        let end = end.or_else(|| self.earlier.as_ref().map(|(text, end)| (text, end)));
        let stored_end = end.filter(|(_, end)| end.is_live && (end.durable || nothing_lost));
        ExpectedTurn {
            turn_id: &self.id,
            key: self.key.as_deref().unwrap_or("a question"),
            requires_question: self.question_is_durable || (nothing_lost && self.end.is_some()),
            answer: stored_end.map(|(text, end)| (text.as_str(), end.status.as_str())),
        }
    }
}

/// Groups the messages of a `history` or `session` frame into turns.
pub(crate) fn stored_turns(messages: &Value) -> Vec<StoredTurn> {
    let mut turns: Vec<StoredTurn> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let id = text(message, "turn_id");
        if turns.last().is_none_or(|turn| turn.turn_id != id) {
            turns.push(StoredTurn { turn_id: id.to_owned(), ..StoredTurn::default() });
        }
        let Some(turn) = turns.last_mut() else { continue };
        text(message, "status").clone_into(&mut turn.status);
        let field = if text(message, "role") == "user" { &mut turn.question } else { &mut turn.answer };
        text(message, "content").clone_into(field);
    }
    turns
}

fn text<'a>(frame: &'a Value, field: &str) -> &'a str {
    frame.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(frame: &Value, field: &str) -> bool {
    frame.get(field) == Some(&Value::Bool(true))
}
