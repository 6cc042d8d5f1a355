//! Follows a turn that another instance generates: reads its checkpoints from the store, so that a
//! visitor who reconnects to this instance receives the rest of the answer.
//!
//! The other instance is known only by its writes. It saves every unfinished answer at a fixed
//! interval. If several of these heartbeats are missing, it has stopped. The time since the last
//! heartbeat is measured by this process's own clock, so that clock skew between the instances does
//! not matter.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, error, info, warn};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_chain::ErrorChain;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::stream::generation::Generation;
use crate::llm::stream::outcome::Outcome;
use crate::llm::turn::checkpoint::CHECKPOINT_INTERVAL;
use crate::llm::turn::context::TurnContext;
use crate::llm::turn::store::{SaveError, answer_record};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::records::{AnswerRecord, StoredTurn};
use crate::system::panics::catch_panic;

/// How often the store is read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Without a heartbeat for this long, the other instance has stopped: three checkpoints, and one
/// that the database is slow to store.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(4 * CHECKPOINT_INTERVAL.as_secs());

/// Heartbeats older than this are ignored, even allowing for clock skew.
const MAX_HEARTBEAT_AGE: Duration = Duration::from_secs(600);

/// A turn that another instance generates.
pub(crate) struct RemoteTurn {
    context: Arc<TurnContext>,
    generation: Arc<Generation>,
    log: Logger,
}

impl RemoteTurn {
    pub(crate) fn new(context: Arc<TurnContext>, generation: Arc<Generation>, log: Logger) -> Self {
        Self { context, generation, log }
    }

    /// Follows the turn from its stored state until it ends. It always does: the other instance
    /// ends it or stops sending heartbeats.
    pub(crate) async fn follow(self, turn: StoredTurn) {
        info!(self.log, "following a turn of another instance");
        let outcome = catch_panic(Component::Answer, self.poll_store(turn)).await;
        let outcome = outcome.unwrap_or_else(|panic| {
            error!(self.log, "following a turn of another instance panicked"; &panic);
            Outcome::internal_error(0)
        });
        self.generation.finish(outcome);
    }

    async fn poll_store(&self, mut turn: StoredTurn) -> Outcome {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat_seen_at = Instant::now();
        loop {
            let is_cancelled = tokio::select! {
                biased;
                () = self.generation.cancelled() => true,
                _ = ticks.tick() => false,
            };
            if is_cancelled {
                return self.cancel_remote().await;
            }
            let found = match self.context.store.find_turn(&self.generation).await {
                Ok(Ok(Some(found))) => found,
                Ok(Ok(None)) => return Outcome::interrupted(self.count_tokens()),
                // If the database is unavailable, the other instance cannot write heartbeats
                // either. A missing heartbeat is therefore ignored.
                Ok(Err(_)) | Err(_) => {
                    heartbeat_seen_at = Instant::now();
                    continue;
                }
            };
            if found.last_heartbeat() != turn.last_heartbeat() {
                heartbeat_seen_at = Instant::now();
            }
            turn = found;
            if let Some(outcome) = self.apply(&turn) {
                // If the visitor cancels at the same moment, the answer ends at the cancellation.
                let is_cancelled = self.generation.close().is_cancelled;
                return if is_cancelled { self.cancel_remote().await } else { outcome };
            }
            let heartbeat_age = Timestamp::now().since(turn.last_heartbeat());
            if heartbeat_seen_at.elapsed() > HEARTBEAT_TIMEOUT || heartbeat_age > MAX_HEARTBEAT_AGE {
                self.mark_interrupted(&turn).await;
            }
        }
    }

    /// Marks the turn as interrupted. The next poll reads the result, or repeats the attempt.
    async fn mark_interrupted(&self, turn: &StoredTurn) {
        info!(self.log, "remote instance timed out, marking turn interrupted");
        if let Err(error) = self.context.store.mark_interrupted(turn).await {
            warn!(self.log, "marking a turn interrupted failed"; "cause" => %ErrorChain(&error));
        }
    }

    /// Appends the new text of a stored turn. Returns the outcome if the turn has ended.
    fn apply(&self, turn: &StoredTurn) -> Option<Outcome> {
        // A turn that was cancelled elsewhere may end before text that was already shown here.
        if self.generation.catch_up(turn) || turn.status == TurnStatus::Cancelled {
            return Outcome::from_stored(turn);
        }
        if turn.delta_ends().is_none()
            && let Some(answer) = &turn.answer
        {
            // The other instance has started another attempt, so that the delta offsets are
            // unknown. Once it has ended, its whole answer replaces the text so far.
            let outcome = Outcome::from_stored(turn)?;
            self.generation.restart();
            self.generation.append(&answer.content);
            return Some(outcome);
        }
        // The stored answer contradicts the text so far. Continuing would duplicate or lose words.
        Some(Outcome::internal_error(self.count_tokens()))
    }

    /// Cancels the turn in the store. The next checkpoint of the other instance fails and ends its
    /// turn.
    async fn cancel_remote(&self) -> Outcome {
        let snapshot = self.generation.close().snapshot;
        let tokens = self.context.counter.count(&snapshot.text);
        let usage = Usage::from_own_count(0, tokens);
        // The instance that reserved budget for the turn settles it. After a crash the reservation
        // counts as used.
        let record = AnswerRecord {
            usage,
            ..answer_record(&self.generation, snapshot, tokens, TurnStatus::Cancelled)
        };
        let saved = self.context.store.save_answer(record, STORE_TIMEOUT).await;
        if matches!(saved, Err(SaveError::Gone)) {
            info!(self.log, "remote instance ended the turn first");
        }
        let durable = saved.is_ok();
        Outcome { usage, durable, ..Outcome::new(TurnStatus::Cancelled, tokens) }
    }

    fn count_tokens(&self) -> u32 {
        self.context.counter.count(&self.generation.text())
    }
}
