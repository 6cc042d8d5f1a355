//! Saves unfinished answers.

use std::time::Duration;

use slog::warn;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::domain::error_chain::ErrorChain;
use crate::domain::turn::TurnStatus;
use crate::llm::turn::context::ActiveTurn;
use crate::llm::turn::store::{SaveError, answer_record};

/// How often an unfinished answer is saved. A crash loses at most the text of this interval. The
/// saves are also the heartbeat that shows other instances that the turn is still in progress, so
/// an answer is saved even if it has not grown.
pub(crate) const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(3);

/// How long to wait for a checkpoint before the next one. While the database is unavailable, at
/// most one checkpoint per answer waits in the write buffer.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(600);

/// The result of saving an unfinished answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointResult {
    Saved,
    /// The turn has ended or was deleted.
    Gone,
    Failed,
}

/// Saves an unfinished answer regularly, until the turn has ended elsewhere or was deleted.
pub(crate) async fn save_regularly(turn: &ActiveTurn) {
    let mut ticks = interval_at(Instant::now() + CHECKPOINT_INTERVAL, CHECKPOINT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if save(turn).await == CheckpointResult::Gone {
            return;
        }
    }
}

/// Saves an unfinished answer with its length in tokens, so that it can be part of later prompts
/// after a crash.
pub(crate) async fn save(turn: &ActiveTurn) -> CheckpointResult {
    let snapshot = turn.generation.snapshot();
    let tokens = turn.context.counter.count(&snapshot.text);
    let record = answer_record(&turn.generation, snapshot, tokens, TurnStatus::Answering);
    match turn.context.store.save_answer(record, CHECKPOINT_TIMEOUT).await {
        Ok(()) => CheckpointResult::Saved,
        Err(SaveError::Gone) => CheckpointResult::Gone,
        Err(error) => {
            warn!(turn.request.log, "checkpoint failed"; "cause" => %ErrorChain(&error));
            CheckpointResult::Failed
        }
    }
}
