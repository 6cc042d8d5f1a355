//! What one visitor was told of one conversation, frame by frame, held against the rules as it
//! comes.

use serde_json::Value;

use super::Violation;
use super::numbered_words::{key_in, read};
use super::rules::{
    Ending, Promised, Stored, failure_is_explained, is_of_its_question, kept, one_turn_a_question,
    same_again, seq_grows, whole, within_limit,
};

/// Where a client goes on: the turn and the last delta it has shown.
pub(crate) type Place = (String, u64);

/// What the oracle must know of the world to judge a frame.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Words of this attempt at this question, when the model gave them all.
    pub(crate) planned: &'a dyn Fn(&str, usize) -> Option<usize>,
    /// How often the server ended without writing what it had to write.
    pub(crate) losses: u64,
}

/// All that was told of a conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    limit: Option<u64>,
    turns: Vec<Turn>,
    following: Option<String>,
    failing: Option<String>,
    /// A `session` came back with `recovered: true`: any turn may follow.
    catching_up: bool,
    /// [`Facts::losses`] when the session began.
    begun: u64,
    /// The newest turn, shown without its answer: it may have ended at this moment, and its answer
    /// follow delta by delta.
    may_follow: Option<String>,
}

/// One turn as it was told.
#[derive(Clone, Debug)]
struct Turn {
    id: String,
    key: Option<String>,
    text: String,
    /// Each delta's number, and the text's length with it.
    marks: Vec<(u64, usize)>,
    question_is_durable: bool,
    ending: Option<Ending>,
    /// As it ended the time before this one.
    earlier: Option<(String, Ending)>,
    /// [`Facts::losses`] when it was told last.
    losses: u64,
}

impl Transcript {
    /// Whether an answer is under way on this connection.
    pub(crate) fn is_following(&self) -> bool {
        self.following.is_some()
    }

    /// The question that is being answered.
    pub(crate) fn current_key(&self) -> Option<&str> {
        let id = self.following.as_ref()?;
        self.turns.iter().find(|turn| turn.id == *id)?.key.as_deref()
    }

    /// The connection has ended.
    pub(crate) fn hang_up(&mut self) {
        self.following = None;
        self.failing = None;
        self.catching_up = false;
    }

    /// The place of a client that has shown all it heard.
    pub(crate) fn cursor(&self) -> Option<Place> {
        let turn = self.turns.last()?;
        Some((turn.id.clone(), turn.marks.last()?.0))
    }

    /// Forgets what was heard after some earlier delta of the newest turn, as a page does that was
    /// loaded again, and returns that place. `choose` picks among the deltas by their count.
    pub(crate) fn go_back(&mut self, choose: impl FnOnce(usize) -> usize) -> Option<Place> {
        let turn = self.turns.last_mut()?;
        if turn.marks.is_empty() {
            return None;
        }
        let kept = choose(turn.marks.len()) + 1;
        turn.rewind(kept);
        self.cursor()
    }

    /// Takes in a frame. `resumed_from` is the cursor when the frame answers `resume`.
    pub(crate) fn hear(
        &mut self,
        frame: &Value,
        resumed_from: Option<&Place>,
        facts: Facts<'_>,
    ) -> Vec<Violation> {
        let kind = text(frame, "type");
        let failing = self.failing.take();
        let mut violations = match kind {
            "session" => self.session(frame, resumed_from, facts),
            "accepted" => self.accepted(frame, facts),
            "delta" => self.delta(frame, facts),
            "reset" => self.reset(frame),
            "done" => self.done(frame, failing.as_deref(), facts),
            "error" => {
                self.failing = frame.get("turn_id").and_then(Value::as_str).map(ToOwned::to_owned);
                Vec::new()
            }
            "history" => self.compare(&stored_turns(frame.get("messages").unwrap_or(&Value::Null))),
            _ => Vec::new(),
        };
        if let Some(turn) = failing.filter(|_| kind != "done") {
            violations.push(Violation::new(
                "an error of a turn comes right before its done",
                format!("{turn}: {kind} came"),
            ));
        }
        if let Some(remaining) = frame.get("remaining").and_then(Value::as_u64) {
            violations.extend(within_limit(remaining, self.limit.unwrap_or(u64::MAX)).err());
        }
        violations
    }

    fn session(&mut self, frame: &Value, from: Option<&Place>, facts: Facts<'_>) -> Vec<Violation> {
        let limits = frame.get("limits").unwrap_or(&Value::Null);
        let number = |field: &str| limits.get(field).and_then(Value::as_u64).unwrap_or_default();
        self.limit = Some(number("requests_per_minute"));
        let mut violations = Vec::new();
        violations.extend(within_limit(number("remaining"), number("requests_per_minute")).err());
        self.hang_up();
        if !is(frame, "resumed") {
            self.begun = facts.losses;
            return violations;
        }
        let stored = stored_turns(frame.get("history").unwrap_or(&Value::Null));
        violations.extend(self.compare(&stored));
        if is(frame, "recovered") {
            self.catching_up = true;
            self.following = from.map(|(turn, _)| turn.clone());
            if from.is_none() {
                violations.push(Violation::new("recovery starts from a cursor", "recovered without one"));
            }
            return violations;
        }
        if !is(frame, "more") {
            for turn in &self.turns {
                let there = stored.iter().find(|stored| stored.turn_id == turn.id);
                // An answer that follows delta by delta is left out of the history.
                let promised = turn.promised(facts.losses);
                let follows = there.is_some_and(|it| it.answer.is_empty() && it.status == "answering");
                let promised = if follows { Promised { answer_is_kept: None, ..promised } } else { promised };
                violations.extend(kept(promised, there).err());
            }
        }
        self.show(&stored, facts.losses);
        violations
    }

    /// Whether the session must be in the store after so many losses: something in it is, or
    /// nothing was lost since it began.
    pub(crate) fn is_kept(&self, losses: u64) -> bool {
        let stored =
            |turn: &Turn| turn.question_is_durable || turn.ending.as_ref().is_some_and(|it| it.durable);
        self.begun == losses || self.turns.iter().any(stored)
    }

    /// Whether the visitor was told that this question is stored.
    pub(crate) fn has_stored(&self, key: &str) -> bool {
        self.turns.iter().any(|turn| turn.question_is_durable && turn.key.as_deref() == Some(key))
    }

    /// What the visitor saw is void; this is the conversation now.
    fn show(&mut self, stored: &[Stored], losses: u64) {
        let is_newest = |it: &Stored| stored.last().is_some_and(|newest| newest.turn_id == it.turn_id);
        self.may_follow = None;
        for it in stored {
            let turn = self.turn(&it.turn_id, losses);
            turn.rewind(0);
            turn.text.clone_from(&it.answer);
            turn.key = key_in(&it.question).map(ToOwned::to_owned);
            if it.status == "answering" {
                self.following = Some(it.turn_id.clone());
            } else if it.answer.is_empty() && is_newest(it) {
                self.may_follow = Some(it.turn_id.clone());
            } else {
                // It was read from the store.
                turn.question_is_durable = true;
                turn.ending = Some(Ending { status: it.status.clone(), durable: true, live: true });
            }
        }
        // What is neither stored nor still to be written was lost. Ids are in the order of time.
        self.turns.retain(|turn| {
            stored.iter().any(|it| it.turn_id == turn.id) || turn.ending.is_some() || turn.losses == losses
        });
        self.turns.sort_by(|one, other| one.id.cmp(&other.id));
    }

    fn accepted(&mut self, frame: &Value, facts: Facts<'_>) -> Vec<Violation> {
        let (id, key) = (text(frame, "turn_id"), text(frame, "id"));
        let mut violations = Vec::new();
        let is_other = |turn: &Turn| turn.key.as_deref() == Some(key) && turn.id != id;
        if let Some(known) = self.turns.iter().find(|turn| is_other(turn)) {
            if known.question_is_durable || known.losses == facts.losses {
                let was = format!("{key} was {} and is {id}", known.id);
                violations.push(Violation::new("an id belongs to one turn", was));
            }
            self.turns.retain(|turn| !is_other(turn));
        }
        if let Some(other) = self.following.as_deref().filter(|following| *following != id) {
            violations
                .push(Violation::new("one turn at a time", format!("{id} was accepted during {other}")));
        }
        let attached = self.following.as_deref() == Some(id);
        let known = self.turns.iter().any(|turn| turn.id == id);
        if known && !is(frame, "duplicate") {
            violations.push(Violation::new("a turn is accepted once", format!("{id} ({key}) again")));
        }
        let turn = self.turn(id, facts.losses);
        turn.key = Some(key.to_owned());
        turn.question_is_durable |= is(frame, "durable");
        turn.losses = facts.losses;
        if !attached {
            turn.rewind(0);
        }
        self.following = Some(id.to_owned());
        self.catching_up = false;
        violations
    }

    fn delta(&mut self, frame: &Value, facts: Facts<'_>) -> Vec<Violation> {
        let id = text(frame, "turn_id");
        let mut violations: Vec<Violation> = self.follows(id, "delta").err().into_iter().collect();
        let seq = frame.get("seq").and_then(Value::as_u64).unwrap_or_default();
        let turn = self.turn(id, facts.losses);
        let last = turn.marks.last().map_or(0, |(seq, _)| *seq);
        violations.extend(seq_grows(last, seq).err());
        turn.text.push_str(text(frame, "text"));
        turn.marks.push((seq, turn.text.len()));
        violations.extend(read(&turn.text).err());
        violations
    }

    fn reset(&mut self, frame: &Value) -> Vec<Violation> {
        let id = text(frame, "turn_id");
        let violations = self.follows(id, "reset").err().into_iter().collect();
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.id == id) {
            turn.rewind(0);
        }
        violations
    }

    fn done(&mut self, frame: &Value, failing: Option<&str>, facts: Facts<'_>) -> Vec<Violation> {
        let (id, status) = (text(frame, "turn_id"), text(frame, "status"));
        let mut violations: Vec<Violation> = self.follows(id, "done").err().into_iter().collect();
        violations.extend(failure_is_explained(status, failing == Some(id)).err());
        self.following = None;
        let live = text(frame, "mode") == "live";
        let ending = Ending { status: status.to_owned(), durable: is(frame, "durable"), live };
        let turn = self.turn(id, facts.losses);
        turn.losses = facts.losses;
        if let Some((text, first)) = turn.earlier.take() {
            violations.extend(same_again((&text, &first), (&turn.text, &ending), id).err());
        }
        if live {
            violations.extend(turn.is_answered(status, facts).err());
        }
        turn.ending = Some(ending);
        violations
    }

    /// Whatever is in the store is the model's, and the turns that it shares with what was told are
    /// the same.
    fn compare(&self, stored: &[Stored]) -> Vec<Violation> {
        let keys: Vec<&str> = stored.iter().filter_map(|it| key_in(&it.question)).collect();
        let mut violations: Vec<Violation> = one_turn_a_question(&keys).err().into_iter().collect();
        for it in stored {
            violations.extend(key_in(&it.question).and_then(|key| is_of_its_question(it, key).err()));
            // An answer that follows delta by delta is left out of the history.
            let told = self.turns.iter().find(|turn| turn.id == it.turn_id && !it.answer.is_empty());
            // So many losses that only what is durable is promised: what is not may still be on its
            // way to the store.
            violations.extend(told.and_then(|turn| kept(turn.promised(u64::MAX), Some(it)).err()));
        }
        violations
    }

    /// Judges the whole conversation against the store, at the end of all.
    pub(crate) fn verify(&self, stored: &[Stored], losses: u64) -> Vec<Violation> {
        let mut violations = self.compare(stored);
        for turn in &self.turns {
            let there = stored.iter().find(|stored| stored.turn_id == turn.id);
            violations.extend(kept(turn.promised(losses), there).err());
        }
        for it in stored.iter().filter(|it| it.status == "answering") {
            violations.push(Violation::new("every turn ends", format!("{} is still answering", it.turn_id)));
        }
        violations
    }

    fn follows(&mut self, id: &str, kind: &str) -> Result<(), Violation> {
        if self.following.as_deref() == Some(id) {
            return Ok(());
        }
        if self.following.is_none() && self.may_follow.take().is_some_and(|turn| turn == id) {
            self.following = Some(id.to_owned());
            return Ok(());
        }
        if self.catching_up && self.following.is_none() && kind != "done" {
            self.following = Some(id.to_owned());
            return Ok(());
        }
        Err(Violation::new(
            "a turn is told between its acceptance and its one done",
            format!("{kind} of {id} while following {:?}", self.following),
        ))
    }

    fn turn(&mut self, id: &str, losses: u64) -> &mut Turn {
        let at = self.turns.iter().position(|turn| turn.id == id).unwrap_or(self.turns.len());
        if at == self.turns.len() {
            self.turns.push(Turn::new(id, losses));
        }
        &mut self.turns[at]
    }
}

impl Turn {
    fn new(id: &str, losses: u64) -> Self {
        Self {
            id: id.to_owned(),
            key: None,
            text: String::new(),
            marks: Vec::new(),
            question_is_durable: false,
            ending: None,
            earlier: None,
            losses,
        }
    }

    /// Only the first so many deltas are shown, and the rest will be said again.
    fn rewind(&mut self, deltas: usize) {
        if let Some(ending) = self.ending.take() {
            self.earlier = Some((self.text.clone(), ending));
        }
        self.marks.truncate(deltas);
        let length = self.marks.last().map_or(0, |(_, length)| *length);
        self.text.truncate(length);
    }

    /// What was heard is the model's answer to this question, and all of it if it should be.
    fn is_answered(&self, status: &str, facts: Facts<'_>) -> Result<(), Violation> {
        let Some(reading) = read(&self.text)? else { return whole(status, 0, 1) };
        if let Some(key) = self.key.as_ref().filter(|key| **key != reading.key) {
            let said = format!("{} asked {key} and heard {}", self.id, reading.key);
            return Err(Violation::new("an answer belongs to its question", said));
        }
        let planned = (facts.planned)(&reading.key, reading.attempt).unwrap_or_default();
        whole(status, reading.words, planned)
    }

    /// What must be in the store after so many losses.
    fn promised(&self, losses: u64) -> Promised<'_> {
        let alive = self.losses == losses;
        let ending = self.ending.as_ref().map(|ending| (&self.text, ending));
        let ending = ending.or_else(|| self.earlier.as_ref().map(|(text, ending)| (text, ending)));
        let kept = ending.filter(|(_, ending)| ending.live && (ending.durable || alive));
        Promised {
            turn_id: &self.id,
            key: self.key.as_deref().unwrap_or("a question"),
            question_is_kept: self.question_is_durable || (alive && self.ending.is_some()),
            answer_is_kept: kept.map(|(text, ending)| (text.as_str(), ending.status.as_str())),
        }
    }
}

/// The turns in the messages of a `history` or `session` frame.
pub(crate) fn stored_turns(messages: &Value) -> Vec<Stored> {
    let mut turns: Vec<Stored> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let id = text(message, "turn_id");
        if turns.last().is_none_or(|turn| turn.turn_id != id) {
            turns.push(Stored { turn_id: id.to_owned(), ..Stored::default() });
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

fn is(frame: &Value, field: &str) -> bool {
    frame.get(field) == Some(&Value::Bool(true))
}
