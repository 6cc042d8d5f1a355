//! Two sockets that want the same session at the same time: one gets it, and the other is told.

use std::time::Duration;

use super::connection::{Connection, Heard};
use super::state::{Line, Visitor, judge, resume_frame};
use crate::oracle::rules::{Raced, one_owner};
use crate::oracle::transcript::{Place, Transcript};

/// How long two sockets may believe that they own a session.
const RACE: Duration = Duration::from_secs(20);

impl Visitor {
    /// Two sockets resume one session at once.
    pub(super) async fn race(&mut self, old: Connection) -> Option<Connection> {
        self.world.count("acts", "race");
        let session = self.sessions.last()?.clone();
        let cursor = session.transcript.cursor();
        self.life = self.world.losses();
        let (one, other) = tokio::join!(
            Connection::open(self.world.address, false),
            Connection::open(self.world.address, false)
        );
        let (mut one, mut other) = (one?, other?);
        let resume = resume_frame(&session, cursor.as_ref());
        tokio::join!(one.say(&resume), other.say(&resume));
        drop(old);
        let (mut first, mut second) = (
            Racer::new(session.transcript.clone(), cursor.clone()),
            Racer::new(session.transcript.clone(), cursor),
        );
        let began = tokio::time::Instant::now();
        let blink = Duration::from_millis(50);
        while first.is_running() && second.is_running() && began.elapsed() < RACE {
            first.hear(&mut one, blink, self).await;
            second.hear(&mut other, blink, self).await;
        }
        // The other end may be under way.
        first.hear(&mut one, blink, self).await;
        second.hear(&mut other, blink, self).await;
        let (fate, other_fate) = (first.fate(), second.fate());
        if let Err(violation) = one_owner(fate, other_fate) {
            self.report(&violation);
        }
        self.world.count("races", &format!("{fate:?} and {other_fate:?}"));
        let (winner, mut connection) = match (fate, other_fate) {
            (Raced::Owns, _) => (first, one),
            (_, Raced::Owns) => (second, other),
            _ => return None,
        };
        let session = self.sessions.last_mut()?;
        session.transcript = winner.transcript;
        let line = self.follow(&mut connection).await;
        (line == Line::Open).then_some(connection)
    }
}

/// One of two sockets that want the same session, with a transcript of its own.
#[derive(Debug)]
struct Racer {
    transcript: Transcript,
    cursor: Option<Place>,
    has_session: bool,
    /// How it ended, once it has.
    end: Option<Raced>,
}

impl Racer {
    fn new(transcript: Transcript, cursor: Option<Place>) -> Self {
        Self { transcript, cursor, has_session: false, end: None }
    }

    fn is_running(&self) -> bool {
        self.end.is_none()
    }

    fn fate(&self) -> Raced {
        self.end.unwrap_or(if self.has_session { Raced::Owns } else { Raced::Ended })
    }

    async fn hear(&mut self, connection: &mut Connection, patience: Duration, visitor: &Visitor) {
        while self.is_running() {
            match connection.hear(patience).await {
                Heard::Frame(frame) => {
                    let from = self.cursor.as_ref().filter(|_| !self.has_session);
                    for violation in judge(&visitor.world, &mut self.transcript, &frame, from, visitor.life) {
                        visitor.report(&violation);
                    }
                    self.has_session |= frame["type"] == "session";
                    if frame["type"] == "error" && !self.has_session {
                        self.end = Some(Raced::Ended);
                    }
                    if frame["type"] == "done" {
                        break;
                    }
                }
                Heard::Closed(Some(4409)) => self.end = Some(Raced::ToldThatItLost),
                Heard::Closed(_) => self.end = Some(Raced::Ended),
                Heard::Nothing => break,
            }
        }
    }
}
