//! Asking a question and receiving its answer, possibly with an interruption in the middle.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::connection::Connection;
use super::interruption::Interruption;
use super::state::{Visitor, is_rejection};
use crate::oracle::numbered_words::question_key;

/// How receiving an answer ended.
enum AnswerProgress {
    /// No answer is in progress any more.
    Finished,
    /// It is time for an interruption that ends the connection.
    Interrupted,
    /// The connection has ended.
    Disconnected,
}

/// Creates a question that contains a key and does not look like prompt injection.
fn question_text(key: &str) -> String {
    format!("What did she do in {key}?")
}

impl Visitor {
    /// Asks the question with this key. Returns the connection if it is usable afterwards.
    pub(super) async fn ask(&mut self, mut connection: Connection, key: String) -> Option<Connection> {
        let interruption = Interruption::random(&mut self.random);
        self.interruption = interruption;
        self.run.record_sent_question(&key);
        let question = json!({"type": "question", "id": key, "question": question_text(&key)});
        if let Some(session) = self.sessions.last_mut() {
            session.pending_key = Some(key.clone());
        }
        if !connection.send(&question).await {
            return None;
        }
        // Some visitors disconnect before they receive anything.
        if interruption == Interruption::Reset && self.random.percent(40) {
            self.run.count("actions", "reset after asking");
            connection.reset();
            return None;
        }
        let deltas = self.random.between(0, 30);
        match self.receive_answer(&mut connection, key, interruption, deltas).await {
            AnswerProgress::Disconnected => None,
            AnswerProgress::Finished => Some(connection),
            AnswerProgress::Interrupted => self.interrupt(connection, interruption).await,
        }
    }

    /// Receives frames until no answer is in progress and the question with the key `awaited` has
    /// been accepted or rejected. The interruption happens after `deltas` deltas.
    async fn receive_answer(
        &mut self,
        connection: &mut Connection,
        awaited: String,
        interruption: Interruption,
        mut deltas: u64,
    ) -> AnswerProgress {
        let mut awaited = Some(awaited);
        let mut interrupted = interruption == Interruption::Nothing;
        loop {
            let following = self.is_following_answer();
            if !following && awaited.is_none() {
                return AnswerProgress::Finished;
            }
            if following && !interrupted && deltas == 0 {
                interrupted = true;
                if interruption.ends_connection() {
                    return AnswerProgress::Interrupted;
                }
                if interruption == Interruption::Stall {
                    self.run.count("actions", interruption.name());
                    self.pause(500, 9000).await;
                } else if !self.send_during_answer(connection, interruption, &mut awaited).await {
                    return AnswerProgress::Disconnected;
                }
            }
            let Some(frame) = self.receive(connection, None).await else {
                return AnswerProgress::Disconnected;
            };
            let answers_awaited = awaited.is_some() && frame["id"].as_str() == awaited.as_deref();
            if frame["type"] == "delta" {
                deltas = deltas.saturating_sub(1);
            } else if frame["type"] == "accepted" && answers_awaited {
                awaited = None;
            } else if is_rejection(&frame) {
                self.handle_rejection(&frame);
                if answers_awaited {
                    awaited = None;
                    self.pause(10, 200).await;
                }
            }
        }
    }

    /// Sends a frame in the middle of an answer. Returns whether that succeeded.
    async fn send_during_answer(
        &mut self,
        connection: &mut Connection,
        interruption: Interruption,
        awaited: &mut Option<String>,
    ) -> bool {
        self.run.count("actions", interruption.name());
        let Some(session) = self.sessions.last_mut() else { return false };
        let current_key = session.transcript.current_key().unwrap_or_default().to_owned();
        let frame = match interruption {
            Interruption::Cancel => json!({"type": "cancel"}),
            Interruption::History => json!({"type": "history"}),
            Interruption::Repeat => {
                self.run.record_sent_question(&current_key);
                json!({"type": "question", "id": current_key, "question": question_text(&current_key)})
            }
            Interruption::ReuseId => {
                json!({"type": "question", "id": current_key, "question": "Something else?"})
            }
            _ => {
                self.questions += 1;
                let another_key = question_key(self.number, self.questions);
                session.pending_key = Some(another_key.clone());
                *awaited = Some(another_key.clone());
                self.run.record_sent_question(&another_key);
                json!({"type": "question", "id": another_key, "question": question_text(&another_key)})
            }
        };
        if matches!(interruption, Interruption::Repeat | Interruption::ReuseId) {
            *awaited = Some(current_key);
        }
        connection.send(&frame).await
    }

    /// Ends the connection, or leaves it, in the middle of an answer.
    async fn interrupt(
        &mut self,
        mut connection: Connection,
        interruption: Interruption,
    ) -> Option<Connection> {
        self.run.count("actions", interruption.name());
        match interruption {
            Interruption::Reset => connection.reset(),
            Interruption::Close => connection.close().await,
            Interruption::HalfClose => {
                connection.half_close();
                while let Some(frame) = self.receive(&mut connection, None).await {
                    if frame["type"] == "done" {
                        break;
                    }
                }
            }
            Interruption::Vanish => {
                // The connection stays open without a reader while the visitor reconnects.
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
}
