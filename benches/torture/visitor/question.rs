//! A question and its answer, heard to the end unless the visitor does something else in the
//! middle.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::connection::Connection;
use super::state::{Line, Visitor};
use crate::oracle::numbered_words::key;

/// What happens in the middle of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    Nothing,
    Reset,
    HalfClose,
    Close,
    Vanish,
    Stall,
    Cancel,
    Repeat,
    RepeatOtherwise,
    AskAnother,
    History,
    Race,
}

/// A question in words that cannot be mistaken for an attempt to take over the model.
fn question(key: &str) -> String {
    format!("What did she do in {key}?")
}

impl Visitor {
    pub(super) async fn ask(&mut self, mut connection: Connection, key: String) -> Option<Connection> {
        use Interruption::{
            AskAnother, Cancel, Close, HalfClose, History, Nothing, Race, Repeat, RepeatOtherwise, Reset,
            Stall, Vanish,
        };
        let interruption = match self.random.between(0, 100) {
            0..8 => Reset,
            8..13 => HalfClose,
            13..18 => Close,
            18..22 => Vanish,
            22..30 => Stall,
            30..38 => Cancel,
            38..43 => Repeat,
            43..46 => RepeatOtherwise,
            46..49 => AskAnother,
            49..52 => History,
            52..54 => Race,
            _ => Nothing,
        };
        self.doing = interruption;
        self.world.send(&key);
        let asked = json!({"type": "question", "id": key, "question": question(&key)});
        if let Some(session) = self.sessions.last_mut() {
            session.pending = Some(key.clone());
        }
        if !connection.say(&asked).await {
            return None;
        }
        // Some go before they know anything.
        if interruption == Reset && self.random.percent(40) {
            self.world.count("acts", "reset after asking");
            connection.reset();
            return None;
        }
        let deltas = self.random.between(0, 30);
        match self.follow_until(&mut connection, Some(key), interruption, deltas).await {
            (Line::Ended, _) => None,
            (Line::Open, false) => Some(connection),
            (Line::Open, true) => self.interrupt(connection, interruption).await,
        }
    }

    /// Ends or leaves the connection in the middle of an answer.
    async fn interrupt(&mut self, mut connection: Connection, how: Interruption) -> Option<Connection> {
        self.world.count("acts", &format!("{how:?}").to_lowercase());
        match how {
            Interruption::Reset => connection.reset(),
            Interruption::Close => connection.close().await,
            Interruption::HalfClose => {
                connection.half_close();
                while let Some(frame) = self.hear(&mut connection, None).await {
                    if frame["type"] == "done" {
                        break;
                    }
                }
            }
            Interruption::Vanish => {
                // Nobody reads and nobody closes, while the visitor is back on another connection.
                let held = Duration::from_secs(self.random.between(2, 12));
                tokio::spawn(async move {
                    sleep(held).await;
                    drop(connection);
                });
            }
            Interruption::Race => return self.race(connection).await,
            _ => return Some(connection),
        }
        None
    }

    /// Hears until nothing more is under way.
    pub(super) async fn follow(&mut self, on: &mut Connection) -> Line {
        self.follow_until(on, None, Interruption::Nothing, u64::MAX).await.0
    }

    /// Hears until nothing more is under way, or until it is time for an interruption that ends the
    /// connection; says which by `true`. `awaited` is a question that was sent and not answered
    /// yet.
    async fn follow_until(
        &mut self,
        connection: &mut Connection,
        mut awaited: Option<String>,
        how: Interruption,
        mut deltas: u64,
    ) -> (Line, bool) {
        let mut interrupted = how == Interruption::Nothing;
        loop {
            let follows = self.sessions.last().is_some_and(|session| session.transcript.is_following());
            if !follows && awaited.is_none() {
                return (Line::Open, false);
            }
            if follows && !interrupted && deltas == 0 {
                interrupted = true;
                match how {
                    Interruption::Stall => {
                        self.world.count("acts", "stall");
                        sleep(Duration::from_millis(self.random.between(500, 9000))).await;
                    }
                    Interruption::Reset
                    | Interruption::HalfClose
                    | Interruption::Close
                    | Interruption::Vanish
                    | Interruption::Race => return (Line::Open, true),
                    Interruption::Nothing => {}
                    _ => {
                        if !self.disturb(connection, how, &mut awaited).await {
                            return (Line::Ended, false);
                        }
                    }
                }
            }
            let Some(frame) = self.hear(connection, None).await else { return (Line::Ended, false) };
            match frame["type"].as_str().unwrap_or_default() {
                "delta" => deltas = deltas.saturating_sub(1),
                "accepted" if frame["id"].as_str() == awaited.as_deref() => awaited = None,
                "error" if frame.get("turn_id").is_none() => {
                    self.refused(&frame);
                    if awaited.is_some() && frame["id"].as_str() == awaited.as_deref() {
                        awaited = None;
                        sleep(Duration::from_millis(self.random.between(10, 200))).await;
                    }
                }
                _ => {}
            }
        }
    }

    /// Says something in the middle of an answer; whether that could be said.
    async fn disturb(
        &mut self,
        connection: &mut Connection,
        how: Interruption,
        awaited: &mut Option<String>,
    ) -> bool {
        self.world.count("acts", &format!("{how:?}").to_lowercase());
        let Some(session) = self.sessions.last_mut() else { return false };
        let key_now = session.transcript.current_key().unwrap_or_default().to_owned();
        let frame = match how {
            Interruption::Cancel => json!({"type": "cancel"}),
            Interruption::History => json!({"type": "history"}),
            Interruption::Repeat => {
                self.world.send(&key_now);
                json!({"type": "question", "id": key_now, "question": question(&key_now)})
            }
            Interruption::RepeatOtherwise => {
                json!({"type": "question", "id": key_now, "question": "Something else?"})
            }
            _ => {
                self.questions += 1;
                let another = key(self.number, self.questions);
                session.pending = Some(another.clone());
                *awaited = Some(another.clone());
                self.world.send(&another);
                json!({"type": "question", "id": another, "question": question(&another)})
            }
        };
        if matches!(how, Interruption::Repeat | Interruption::RepeatOtherwise) {
            *awaited = Some(key_now);
        }
        connection.say(&frame).await
    }
}
