//! Two connections that resume the same session at the same time: exactly one may get it.

use std::time::Duration;

use super::connection::{Connection, Received};
use super::state::{ConnectionState, Visitor, check_frame, resume_frame};
use crate::oracle::rules::{RaceResult, check_single_owner};
use crate::oracle::transcript::{Cursor, Transcript};

/// How long both connections may believe that they own the session.
const RACE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the race waits for a frame of one connection before it turns to the other.
const TURN: Duration = Duration::from_millis(50);

impl Visitor {
    /// Resumes the session on two connections at once. Returns the connection that got it.
    pub(super) async fn race(&mut self, old: Connection) -> Option<Connection> {
        self.run.count("actions", "race");
        let session = self.sessions.last()?.clone();
        let cursor = session.transcript.cursor();
        self.losses_at_connect = self.run.losses();
        let (first, second) = tokio::join!(
            Connection::open(self.run.address, false),
            Connection::open(self.run.address, false)
        );
        let (mut first, mut second) = (first?, second?);
        let resume = resume_frame(&session, cursor.as_ref());
        tokio::join!(first.send(&resume), second.send(&resume));
        drop(old);
        let mut first = Racer::new(first, session.transcript.clone(), cursor.clone());
        let mut second = Racer::new(second, session.transcript.clone(), cursor);
        let began = tokio::time::Instant::now();
        while first.is_running() && second.is_running() && began.elapsed() < RACE_TIMEOUT {
            first.receive(self).await;
            second.receive(self).await;
        }
        // The close frame of the loser may still be in flight.
        first.receive(self).await;
        second.receive(self).await;
        let results = (first.result(), second.result());
        if let Err(violation) = check_single_owner(results.0, results.1) {
            self.report(&violation);
        }
        self.run.count("races", &format!("{:?} and {:?}", results.0, results.1));
        let mut winner = match results {
            (RaceResult::Owner, _) => first,
            (_, RaceResult::Owner) => second,
            _ => return None,
        };
        let session = self.sessions.last_mut()?;
        session.transcript = winner.transcript;
        let state = self.receive_rest(&mut winner.connection).await;
        (state == ConnectionState::Open).then_some(winner.connection)
    }
}

/// One of the two connections, with its own copy of the transcript.
#[derive(Debug)]
struct Racer {
    connection: Connection,
    transcript: Transcript,
    cursor: Option<Cursor>,
    has_session: bool,
    /// The final result, if the connection has ended.
    end: Option<RaceResult>,
}

impl Racer {
    fn new(connection: Connection, transcript: Transcript, cursor: Option<Cursor>) -> Self {
        Self { connection, transcript, cursor, has_session: false, end: None }
    }

    fn is_running(&self) -> bool {
        self.end.is_none()
    }

    fn result(&self) -> RaceResult {
        self.end.unwrap_or(if self.has_session { RaceResult::Owner } else { RaceResult::Ended })
    }

    /// Receives and checks frames until none arrives for a moment, or an answer ends.
    async fn receive(&mut self, visitor: &Visitor) {
        while self.is_running() {
            match self.connection.receive(TURN).await {
                Received::Frame(frame) => {
                    let cursor = self.cursor.as_ref().filter(|_| !self.has_session);
                    let losses = visitor.losses_at_connect;
                    let transcript = &mut self.transcript;
                    for violation in check_frame(&visitor.run, transcript, &frame, cursor, losses) {
                        visitor.report(&violation);
                    }
                    self.has_session |= frame["type"] == "session";
                    if frame["type"] == "error" && !self.has_session {
                        self.end = Some(RaceResult::Ended);
                    }
                    if frame["type"] == "done" {
                        break;
                    }
                }
                Received::Closed(Some(4409)) => self.end = Some(RaceResult::Superseded),
                Received::Closed(_) => self.end = Some(RaceResult::Ended),
                Received::Timeout => break,
            }
        }
    }
}
