//! Saving an answer while it is being given.

use std::time::Duration;

use slog::warn;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::domain::clock::Timestamp;
use crate::domain::error_chain::ErrorChain;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::messages::AskModel;
use crate::llm::stream::generation::Generation;
use crate::llm::turn::task::Answering;
use crate::persistence::StorageError;
use crate::persistence::messages::SaveAnswer;
use crate::persistence::records::AnswerRecord;

/// How often an unfinished answer is saved, so that a crash costs at most this much of it. Also the sign by which other servers
/// know that it is still being given, so it is saved whether it has grown or not.
pub(crate) const PARTIAL_INTERVAL: Duration = Duration::from_secs(3);

/// How long the saving of an unfinished answer is waited for before the next one. While the store is away no more than one
/// waits in its buffer.
const PARTIAL_PATIENCE: Duration = Duration::from_secs(600);

/// What became of saving an unfinished answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It is stored.
    Kept,
    /// Its turn has ended, or is gone.
    Gone,
    /// The store did not take it.
    NotNow,
}

impl Answering {
    /// Saves what there is every few seconds, until the store says that the turn has ended or is gone.
    pub(crate) async fn save_partials(&self, ask: &AskModel, generation: &Generation) {
        let mut ticks = interval_at(Instant::now() + PARTIAL_INTERVAL, PARTIAL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if matches!(self.save_partial(ask, generation).await, Saved::Gone) {
                return;
            }
        }
    }

    /// Saves what there is of an answer. After a crash this is the answer, and takes its place in prompts by its length.
    pub(crate) async fn save_partial(&self, ask: &AskModel, generation: &Generation) -> Saved {
        let said = generation.said();
        let tokens = self.counter.count(&said.text);
        let record = AnswerRecord {
            turn_id: generation.turn_id,
            answer: said.text,
            delta_offsets: said.boundaries,
            tokens,
            status: TurnStatus::Answering,
            mode: generation.mode(),
            model: None,
            usage: Usage::default(),
            citations: Vec::new(),
            failure: None,
            at: Timestamp::now(),
            settlement: None,
            pending_costs: Vec::new(),
        };
        match self.save_answer.ask(SaveAnswer(record), PARTIAL_PATIENCE).await {
            Ok(Ok(())) => return Saved::Kept,
            Ok(Err(StorageError::Gone)) => return Saved::Gone,
            Ok(Err(error)) => {
                warn!(ask.log, "an unfinished answer could not be saved"; "cause" => %ErrorChain(&error));
            }
            Err(error) => warn!(ask.log, "an unfinished answer could not be saved"; "cause" => %error),
        }
        Saved::NotNow
    }
}
