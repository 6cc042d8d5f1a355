//! A visitor: asks, interrupts, drops, stalls, comes back, and holds what is heard against the
//! oracle.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::connection::{Connection, Heard};
use super::question::Interruption;
use crate::oracle::Violation;
use crate::oracle::numbered_words::key;
use crate::oracle::transcript::{Facts, Place, Transcript};
use crate::random::Random;
use crate::run_state::World;

/// How long nothing may come while something must: longer than every fault and every timeout of the
/// server.
const SILENCE: Duration = Duration::from_secs(60);

/// After this much of it a visitor looks whether the connection is still there.
const DOUBT: Duration = Duration::from_secs(20);

/// A conversation of a visitor.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) id: String,
    /// What proves that it is the visitor's.
    pub(crate) token: String,
    /// What was told of it.
    pub(crate) transcript: Transcript,
    /// Questions that were accepted.
    answered: Vec<String>,
    /// The question of which nobody knows whether it was taken.
    pub(super) pending: Option<String>,
}

/// Somebody who visits until the time is over.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// Names the visitor in the report and in questions.
    pub(crate) number: usize,
    /// The newest one is used.
    pub(crate) sessions: Vec<Session>,
    pub(super) world: Arc<World>,
    pub(super) random: Random,
    pub(super) questions: usize,
    /// The newest session may not be asked any more for now.
    wants_another: bool,
    /// The losses there were when the current connection was opened. What is heard on it, however
    /// late, was said before any other.
    pub(super) life: u64,
    /// What is to happen in the middle of the answer.
    pub(super) doing: Interruption,
}

/// Whether the connection can be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    Ended,
}

impl Visitor {
    /// The visitor of this number.
    pub(crate) fn new(number: usize, world: &Arc<World>) -> Self {
        let random = Random::of(world.seed, &format!("visitor {number}"));
        let (sessions, world) = (Vec::new(), Arc::clone(world));
        Self {
            number,
            sessions,
            world,
            random,
            questions: 0,
            wants_another: true,
            life: 0,
            doing: Interruption::Nothing,
        }
    }

    /// Visits until the time is over.
    pub(crate) async fn visit(mut self) -> Self {
        while !self.world.is_over() {
            let small_buffer = self.random.percent(15);
            self.life = self.world.losses();
            if let Some(connection) = Connection::open(self.world.address, small_buffer).await {
                self.sit(connection).await;
            } else {
                self.world.count("connections", "refused");
            }
            if let Some(session) = self.sessions.last_mut() {
                session.transcript.hang_up();
            }
            sleep(Duration::from_millis(self.random.between(0, 300))).await;
        }
        self
    }

    async fn sit(&mut self, mut connection: Connection) {
        self.world.count("connections", "opened");
        let begins = self.wants_another || self.random.percent(3);
        let line =
            if begins { self.begin(&mut connection).await } else { self.resume(&mut connection).await };
        if line == Line::Ended {
            return;
        }
        self.wants_another = false;
        for _ in 0..self.random.between(1, 9) {
            if self.world.is_over() || self.wants_another {
                break;
            }
            match self.scene(connection).await {
                Some(usable) => connection = usable,
                None => return,
            }
        }
        if self.random.percent(50) {
            connection.close().await;
        }
    }

    async fn begin(&mut self, connection: &mut Connection) -> Line {
        if !connection.say(&json!({"type": "start"})).await {
            return Line::Ended;
        }
        let Heard::Frame(frame) = connection.hear(SILENCE).await else { return Line::Ended };
        if frame["type"] != "session" {
            self.world.count("refusals", frame["code"].as_str().unwrap_or("a frame that was not awaited"));
            return Line::Ended;
        }
        let text = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        self.sessions.push(Session {
            id: text("session_id"),
            token: text("resume_token"),
            transcript: Transcript::default(),
            answered: Vec::new(),
            pending: None,
        });
        self.world.count("sessions", "begun");
        self.judge(&frame, None);
        Line::Open
    }

    /// Comes back, mostly with the cursor of what was shown, sometimes with an older one or with
    /// none.
    async fn resume(&mut self, connection: &mut Connection) -> Line {
        let (stale, void) = (self.random.percent(15), self.random.percent(10));
        let place = self.random.below(1 << 20);
        let Some(session) = self.sessions.last_mut() else { return Line::Ended };
        let cursor = match (void, stale) {
            (true, _) => None,
            (_, true) => session.transcript.go_back(|deltas| place % deltas),
            _ => session.transcript.cursor(),
        };
        if !connection.say(&resume_frame(session, cursor.as_ref())).await {
            return Line::Ended;
        }
        let Some(frame) = self.hear(connection, cursor.as_ref()).await else { return Line::Ended };
        if frame["type"] != "session" {
            self.refused(&frame);
            return Line::Ended;
        }
        self.follow(connection).await
    }

    /// One thing that a visitor does when no answer is under way.
    async fn scene(&mut self, mut connection: Connection) -> Option<Connection> {
        let choice = self.random.between(0, 100);
        let again = self.random.below(1 << 20);
        let session = self.sessions.last_mut()?;
        let earlier = (!session.answered.is_empty())
            .then(|| session.answered.get(again % session.answered.len()).cloned())
            .flatten();
        if let Some(pending) = session.pending.clone() {
            return self.ask(connection, pending).await;
        }
        match (choice, earlier) {
            (0..12, Some(earlier)) => self.ask(connection, earlier).await,
            // What is not stored may have been lost, and its id be free.
            (12..16, Some(earlier)) if session.transcript.has_stored(&earlier) => {
                let frame = json!({"type": "question", "id": earlier, "question": "Something else?"});
                let said = connection.say(&frame).await;
                let mut heard = if said { self.hear(&mut connection, None).await } else { None }?;
                // A server that is told to leave says so in between; a `cancel` that crossed the
                // end of its answer is answered, and so is a `history` that was asked for during
                // it.
                while heard["type"] == "notice"
                    || heard["type"] == "history"
                    || heard["code"] == "NO_SUCH_TURN"
                {
                    heard = self.hear(&mut connection, None).await?;
                }
                let answered = ["DUPLICATE_ID", "STORAGE_UNAVAILABLE", "SHUTTING_DOWN", "OVERLOADED"];
                if !answered.iter().any(|code| heard["code"] == *code) {
                    let said = format!("{earlier}: {} {}", heard["type"], heard["code"]);
                    self.report(&Violation::new("an id has one text", said));
                }
                self.refused(&heard);
                Some(connection)
            }
            (16..24, _) => {
                let said = connection.say(&json!({"type": "history"})).await;
                let heard = if said { self.hear(&mut connection, None).await } else { None }?;
                self.world.count("acts", "history");
                if heard["type"] == "error" {
                    self.refused(&heard);
                }
                Some(connection)
            }
            (24..27, _) => self.race(connection).await,
            _ => {
                self.questions += 1;
                let key = key(self.number, self.questions);
                self.ask(connection, key).await
            }
        }
    }

    /// The next frame, judged; `None` when the connection has ended.
    pub(super) async fn hear(&mut self, connection: &mut Connection, from: Option<&Place>) -> Option<Value> {
        let mut heard = connection.hear(DOUBT).await;
        if matches!(heard, Heard::Nothing) {
            // As every client does that waits for an answer: a connection that is gone without a
            // word shows.
            let _ = connection.say(&json!({"type": "ping"})).await;
            heard = connection.hear_but_pongs(SILENCE - DOUBT).await;
        }
        match heard {
            Heard::Frame(frame) => {
                self.judge(&frame, from);
                Some(frame)
            }
            Heard::Closed(code) => {
                self.world.count("ends", &code.map_or("without a code".to_owned(), |code| code.to_string()));
                None
            }
            Heard::Nothing => {
                let said = format!("{}; {}; {:?}", connection.last(), self.where_it_is(), self.doing);
                self.report(&Violation::new("whatever is awaited comes", said));
                None
            }
        }
    }

    fn where_it_is(&self) -> String {
        let session = self.sessions.last();
        let about = |session: &Session| {
            let key = session.transcript.current_key().unwrap_or("nothing").to_owned();
            format!("session {}, following {key}, pending {:?}", session.id, session.pending)
        };
        session.map(about).unwrap_or_default()
    }

    fn judge(&mut self, frame: &Value, from: Option<&Place>) {
        let Some(session) = self.sessions.last_mut() else { return };
        let violations = judge(&self.world, &mut session.transcript, frame, from, self.life);
        match frame["type"].as_str().unwrap_or_default() {
            "accepted" => {
                let key = frame["id"].as_str().unwrap_or_default();
                if session.pending.as_deref() == Some(key) {
                    session.pending = None;
                }
                if !session.answered.iter().any(|known| known == key) {
                    session.answered.push(key.to_owned());
                }
            }
            "session" if frame["resumed"] == true => {
                let recovered = if frame["recovered"] == true { "recovered" } else { "not recovered" };
                self.world.count("resumes", recovered);
            }
            _ => {}
        }
        for violation in violations {
            self.report(&violation);
        }
    }

    /// A request was refused; what that means for what is done next.
    pub(super) fn refused(&mut self, frame: &Value) {
        let code = frame["code"].as_str().unwrap_or("no code");
        self.world.count("refusals", code);
        match code {
            "RATE_LIMIT_EXCEEDED" | "BUDGET_EXCEEDED" => self.wants_another = true,
            "SESSION_NOT_FOUND" | "SESSION_EXPIRED" => {
                // While the database is away a session is told that only its server knows.
                if self.sessions.last().is_some_and(|session| session.transcript.is_kept(self.life)) {
                    let said = self.where_it_is();
                    self.report(&Violation::new("a session that was told is found", said));
                }
                self.wants_another = true;
            }
            _ => {}
        }
    }

    pub(super) fn report(&self, violation: &Violation) {
        let session = self.sessions.last().map(|session| session.id.as_str()).unwrap_or_default();
        self.world.report(&format!("visitor {} session {session}", self.number), violation);
    }
}

/// Judges a frame, and counts what it says.
pub(super) fn judge(
    world: &World,
    transcript: &mut Transcript,
    frame: &Value,
    from: Option<&Place>,
    losses: u64,
) -> Vec<Violation> {
    let planned = |key: &str, attempt: usize| world.planned(key, attempt);
    let text = |field: &str| frame[field].as_str().unwrap_or_default();
    match text("type") {
        "delta" => world.add("words", "heard", text("text").matches(' ').count()),
        "done" => world.count("turns", text("status")),
        "accepted" if frame["durable"] == true => world.is_durable(text("id")),
        _ => {}
    }
    transcript.hear(frame, from, Facts { planned: &planned, losses })
}

pub(super) fn resume_frame(session: &Session, cursor: Option<&Place>) -> Value {
    let mut frame = json!({"type": "resume", "session_id": session.id, "resume_token": session.token});
    if let Some((turn, seq)) = cursor {
        frame["cursor"] = json!({"turn_id": turn, "seq": seq});
    }
    frame
}
