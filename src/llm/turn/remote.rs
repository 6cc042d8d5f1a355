//! Following an answer that another server gives: what it saves is read from the store and appended to a log here, so that a
//! visitor who comes back at this server hears it out.
//!
//! The other server is known only by what it writes. It saves every unfinished answer every few seconds; one that is silent for
//! several times as long has ended, and its answer with it. How long it is silent is measured by this process's own clock, so
//! the clocks of the two need not agree.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, error, info, warn};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::stream::generation::{Generation, Outcome, Said, outcome_of};
use crate::llm::turn::checkpoint::PARTIAL_INTERVAL;
use crate::llm::turn::task::Answering;
use crate::persistence::messages::{FindTurn, MarkInterrupted, SaveAnswer};
use crate::persistence::records::{AnswerRecord, StoredTurn, TurnKey};
use crate::persistence::{STORE_TIMEOUT, StorageError};
use crate::supervision::catch_panic;

/// How often the store is asked what has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// After this long without a sign the other server has ended: three savings, and one that the database is slow to take.
const SILENCE: Duration = Duration::from_secs(4 * PARTIAL_INTERVAL.as_secs());

/// A sign that is older than this by the clocks, however wrong they are, is no sign.
const LONG_AGO: Duration = Duration::from_secs(600);

impl Answering {
    /// Appends to `generation` what the store has of its turn, until the turn has ended. It always does: the other server ends it, or
    /// falls silent.
    pub(crate) async fn follow_elsewhere(
        self: Arc<Self>,
        generation: Arc<Generation>,
        turn: StoredTurn,
        log: Logger,
    ) {
        info!(log, "following an answer that another server gives");
        let followed = catch_panic(Component::Answer, self.follow(&generation, turn, &log)).await;
        let outcome = followed.unwrap_or_else(|panic| {
            error!(log, "the task that follows an answer panicked"; &panic);
            let failure = Some(ErrorCode::InternalError.into());
            Outcome { status: TurnStatus::Failed, failure, ..cut_off(0) }
        });
        generation.finish(outcome);
    }

    async fn follow(&self, generation: &Generation, mut turn: StoredTurn, log: &Logger) -> Outcome {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            let cancelled = tokio::select! {
                biased;
                () = generation.cancelled() => true,
                _ = looks.tick() => false,
            };
            if cancelled {
                return self.end_elsewhere(generation, log).await;
            }
            let find = FindTurn { session_id: generation.session_id, key: TurnKey::Turn(generation.turn_id) };
            let found = match self.find_turn.ask(find, STORE_TIMEOUT).await {
                Ok(Ok(Some(found))) => found,
                Ok(Ok(None)) => return cut_off(self.counted(generation)),
                // A store that is away is away for the other server, too, so its silence says nothing.
                Ok(Err(_)) | Err(_) => {
                    heard_at = Instant::now();
                    continue;
                }
            };
            if found.last_heartbeat() != turn.last_heartbeat() {
                heard_at = Instant::now();
            }
            turn = found;
            if let Some(outcome) = self.take_over(generation, &turn) {
                let (_, cancelled, _) = generation.close();
                // Stopped at the same moment, the log ends where the visitor saw it end, and is not the whole.
                return if cancelled { self.end_elsewhere(generation, log).await } else { outcome };
            }
            let long_ago = Timestamp::now().since(turn.last_heartbeat()) > LONG_AGO;
            if heard_at.elapsed() > SILENCE || long_ago {
                info!(log, "the other server is silent; its answer was cut off");
                let mark = MarkInterrupted {
                    turn_id: turn.turn_id,
                    at: Timestamp::now(),
                    last_heartbeat: turn.last_heartbeat(),
                };
                // What comes of it, the next look sees; were it not taken, it is tried again then.
                if let Err(error) = self.mark_interrupted.ask(mark, STORE_TIMEOUT).await {
                    warn!(log, "an answer could not be marked as interrupted"; "cause" => %error);
                }
            }
        }
    }

    /// Appends what is new; an outcome when there will be no more.
    fn take_over(&self, generation: &Generation, turn: &StoredTurn) -> Option<Outcome> {
        // One that was stopped over there may end before what was shown of it here.
        if generation.catch_up(turn) || turn.status == TurnStatus::Cancelled {
            return outcome_of(turn);
        }
        if turn.delta_ends().is_none()
            && let Some(answer) = &turn.answer
        {
            // The other server began anew, so nobody knows the number of a delta. Its whole answer takes the place of what was told.
            let outcome = outcome_of(turn)?;
            generation.start_over();
            generation.append(&answer.content);
            return Some(outcome);
        }
        // It is not what was told so far; told on from here, words would be doubled or missing.
        let failure = Some(ErrorCode::InternalError.into());
        Some(Outcome { status: TurnStatus::Failed, failure, ..cut_off(self.counted(generation)) })
    }

    /// The visitor stops it: its end is written here, and the other server finds it when it saves the next time.
    async fn end_elsewhere(&self, generation: &Generation, log: &Logger) -> Outcome {
        let (Said { text, boundaries }, _, _) = generation.close();
        let tokens = self.counter.count(&text);
        let usage = Usage { completion_tokens: tokens, ..Usage::default() };
        let record = AnswerRecord {
            turn_id: generation.turn_id,
            answer: text,
            delta_offsets: boundaries,
            tokens,
            status: TurnStatus::Cancelled,
            mode: generation.mode(),
            model: None,
            usage,
            citations: Vec::new(),
            failure: None,
            at: Timestamp::now(),
            // Whoever set something aside for it settles it; after a crash it counts as taken.
            settlement: None,
            pending_costs: Vec::new(),
        };
        let durable = match self.save_answer.ask(SaveAnswer(record), STORE_TIMEOUT).await {
            Ok(Ok(())) => true,
            Ok(Err(StorageError::Gone)) => {
                info!(log, "the other server was faster to end the answer");
                false
            }
            Ok(Err(_)) | Err(_) => false,
        };
        Outcome { status: TurnStatus::Cancelled, usage, durable, ..cut_off(tokens) }
    }

    fn counted(&self, generation: &Generation) -> u32 {
        self.counter.count(&generation.text())
    }
}

/// How an answer ended of which nobody knows more than that there will be no more of it.
fn cut_off(answer_tokens: u32) -> Outcome {
    Outcome {
        status: TurnStatus::Interrupted,
        failure: None,
        usage: Usage::default(),
        answer_tokens,
        model: None,
        citations: Vec::new(),
        durable: false,
    }
}
