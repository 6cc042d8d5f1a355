//! The task that carries one question through: stored, answered, stored again, told.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join;
use slog::{error, info, warn};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::budget::{Amount, BudgetTracker, LimitExceeded, Reservation};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_chain::ErrorChain;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::llm::messages::AskModel;
use crate::llm::resilience::concurrency_limit::Admitted;
use crate::llm::router::{Fare, Route, Sources, over};
use crate::llm::stream::generation::{Acceptance, Generation, Outcome, Said};
use crate::llm::turn::attempts;
use crate::llm::upstream::completion::{Finish, SourceError};
use crate::mailbox::{Address, AskError};
use crate::persistence::messages::{FindTurn, MarkInterrupted, SaveAnswer, SaveQuestion};
use crate::persistence::records::{AnswerRecord, BudgetReservation, BudgetSettlement};
use crate::persistence::{STORE_TIMEOUT, StorageError};
use crate::supervision::catch_panic;
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::{DegradedBy, GaugeGuard, Metrics, QueueRejection};
use crate::tokens::TokenCounter;

/// How often those who wait are told of their position.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// What every answer needs; shared by all of them.
pub(crate) struct Answering {
    pub(crate) sources: Arc<Sources>,
    pub(crate) max_retries: u32,
    /// How long all tries together may take to the first word.
    pub(crate) first_word_timeout: Duration,
    pub(crate) save_question: Address<SaveQuestion>,
    pub(crate) save_answer: Address<SaveAnswer>,
    pub(crate) find_turn: Address<FindTurn>,
    pub(crate) mark_interrupted: Address<MarkInterrupted>,
    /// Which process answers.
    pub(crate) incarnation: InstanceId,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) counter: TokenCounter,
    /// How long an answer goes on with nobody listening.
    pub(crate) reconnect_grace: Duration,
    /// What the day may take.
    pub(crate) spending: Arc<BudgetTracker>,
    /// How long the newest answer of a model took to its first word; 0 when there was none.
    pub(crate) first_word_ms: AtomicU64,
    /// Told when the model's server has to be asked what an answer cost.
    pub(crate) cost_owed: Arc<Notify>,
    /// Ends every answer as interrupted.
    pub(crate) leave: CancellationToken,
}

/// Where a question goes, once what its answer may cost is taken care of.
enum Way {
    Model(Admitted),
    Resume(Option<DegradedBy>),
}

/// Why the source was left.
enum Ending {
    Finished(Finish),
    Failed(SourceError),
    Cancelled,
    Abandoned,
    Leaving,
    /// Another server ended it, or the conversation was deleted: what the store says of it stands.
    TakenAway,
}

/// The stages of one turn.
struct Stopwatch {
    started: Instant,
    /// How long the question waited for its turn to be asked, once it was.
    asked_after: Cell<Option<Duration>>,
}

impl Answering {
    /// Runs the whole life of `generation`. Whatever happens, its log is ended.
    pub(crate) async fn carry_through(
        self: Arc<Self>,
        ask: AskModel,
        generation: Arc<Generation>,
        route: Route,
    ) {
        let watch = Stopwatch { started: Instant::now(), asked_after: Cell::new(None) };
        let attempt = self.attempt(&ask, &generation, route, &watch);
        let Err(panic) = catch_panic(Component::Answer, attempt).await else { return };
        error!(ask.log, "the task of an answer panicked"; &panic);
        // The store may have the question by now, so the turn is told as one that was taken and has failed.
        generation.settle_question(Ok(Acceptance { durable: false }));
        let error = SourceError::nobody(ErrorCode::InternalError.into());
        // What was set aside for it counts as taken: nobody knows any more what was.
        let concluded = self.conclude(&ask, &generation, Ending::Failed(error), &watch, None);
        if let Err(panic) = catch_panic(Component::Answer, concluded).await {
            error!(ask.log, "the end of an answer panicked"; &panic);
            let outcome = Outcome {
                status: TurnStatus::Failed,
                failure: Some(ErrorCode::InternalError.into()),
                usage: Usage::default(),
                answer_tokens: 0,
                model: None,
                citations: Vec::new(),
                durable: false,
            };
            generation.finish(outcome);
        }
    }

    async fn attempt(&self, ask: &AskModel, generation: &Arc<Generation>, route: Route, watch: &Stopwatch) {
        failpoints::hit(Failpoint::AnswerTask, &ask.prompt.question);
        let (way, reservation) = match route {
            Route::Model(Fare { admitted, reservation }) => (Way::Model(admitted), Some(reservation)),
            Route::Resume(reason) => (Way::Resume(reason), None),
        };
        // Handed to the store before anything is asked upstream, so no answer can be stored ahead of its question.
        let question = || SaveQuestion {
            turn_id: ask.turn_id,
            session_id: ask.session_id,
            epoch: ask.epoch,
            client_id: ask.client_id.clone(),
            question: Arc::clone(&ask.prompt.question),
            tokens: ask.question_tokens,
            asked_at: ask.asked_at,
            reservation: reservation.as_ref().map(|it| {
                Box::new(BudgetReservation {
                    accounts: it.accounts.clone(),
                    amount: it.amount,
                    policy: self.spending.policy,
                })
            }),
            answered_by: self.incarnation.name(),
            regenerates: ask.regenerates,
        };
        let stored = self.save_question.ask(question(), STORE_TIMEOUT);
        let accept = async {
            let stored = match stored.await {
                // Whether it came into the buffer before the store's actor panicked, nobody knows. Twice does no harm.
                Err(AskError::Closed) => self.save_question.ask(question(), STORE_TIMEOUT).await,
                stored => stored,
            };
            if let Ok(Err(StorageError::BudgetExceeded(scope))) = &stored {
                self.metrics.budget.count_rejection(*scope);
                // Before anybody is told, who may ask again at once.
                reservation.iter().for_each(Reservation::release);
            }
            let acceptance = match stored {
                Ok(Ok(())) => Ok(Acceptance { durable: true }),
                Ok(Err(error)) => Err(question_failure(&error, ask.asked_at)),
                Err(AskError::Closed) => Err(ErrorCode::InternalError.into()),
                // The write stays in the store's buffer and is committed when the database is back.
                Err(AskError::Timeout) => Ok(Acceptance { durable: false }),
            };
            generation.settle_question(acceptance.clone());
            acceptance
        };
        let drive = async { Ok(self.drive(ask, generation, way, watch, reservation.as_ref()).await) };
        match try_join(accept, drive).await {
            Ok((_, ending)) => self.conclude(ask, generation, ending, watch, reservation).await,
            Err(failure) => {
                // It was never asked, as far as anybody will remember.
                if let Some(reservation) = reservation {
                    reservation.settle(Amount::default());
                }
                info!(ask.log, "question refused"; "code" => ?failure.code);
            }
        }
    }

    async fn drive(
        &self,
        ask: &AskModel,
        generation: &Arc<Generation>,
        way: Way,
        watch: &Stopwatch,
        reservation: Option<&Reservation>,
    ) -> Ending {
        let answer = async {
            match way {
                // Quotes cost nothing, so nobody waits for them.
                Way::Resume(reason) => attempts::quote(self, ask, generation, reason).await,
                Way::Model(mut admitted) => {
                    self.stand_in_line(&mut admitted, generation).await?;
                    watch.asked_after.set(Some(watch.started.elapsed()));
                    // The place is held until the answer has ended.
                    let answered = attempts::answer(self, ask, generation, reservation).await;
                    drop(admitted);
                    answered
                }
            }
        };
        tokio::select! {
            biased;
            () = generation.cancelled() => Ending::Cancelled,
            () = self.leave.cancelled() => Ending::Leaving,
            answered = answer => match answered {
                Ok(finish) => Ending::Finished(finish),
                Err(error) => Ending::Failed(error),
            },
            () = generation.abandoned(self.reconnect_grace) => Ending::Abandoned,
            () = self.save_partials(ask, generation) => Ending::TakenAway,
        }
    }

    /// Waits for a turn to ask the model, and tells the visitor how many come before.
    async fn stand_in_line(
        &self,
        admitted: &mut Admitted,
        generation: &Generation,
    ) -> Result<(), SourceError> {
        if admitted.position().is_none() {
            return Ok(());
        }
        let _waiting = GaugeGuard::new(&self.metrics.upstream.queue_depth);
        let mut patience = std::pin::pin!(tokio::time::sleep(admitted.patience()));
        let mut looks = interval(POSITION_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let came = loop {
            tokio::select! {
                biased;
                () = admitted.turn() => break true,
                () = &mut patience => break false,
                _ = looks.tick() => generation.wait_at(admitted.position()),
            }
        };
        generation.wait_at(None);
        if came {
            return Ok(());
        }
        self.metrics.upstream.count_queue_rejection(QueueRejection::TimedOut);
        Err(SourceError::nobody(ErrorCode::Overloaded.into()))
    }

    async fn conclude(
        &self,
        ask: &AskModel,
        generation: &Arc<Generation>,
        ending: Ending,
        watch: &Stopwatch,
        reservation: Option<Reservation>,
    ) {
        let (said, cancelled, unseen) = generation.close();
        let taken_away = matches!(ending, Ending::TakenAway);
        let may_be_charged = match &ending {
            Ending::Failed(error) => error.may_be_charged,
            _ => true,
        };
        let (status, finish, failure) = match ending {
            // Whatever else has happened since: the visitor saw it stop.
            Ending::Finished(finish) if cancelled => (TurnStatus::Cancelled, Some(finish), None),
            _ if cancelled => (TurnStatus::Cancelled, None, None),
            Ending::Finished(finish) => (finish.status, Some(finish), None),
            Ending::Cancelled => (TurnStatus::Cancelled, None, None),
            Ending::Abandoned | Ending::Leaving | Ending::TakenAway => (TurnStatus::Interrupted, None, None),
            Ending::Failed(error) => {
                warn!(ask.log, "the answer failed"; "code" => ?error.failure.code, "cause" => %error);
                (TurnStatus::Failed, None, Some(error.failure))
            }
        };
        failpoints::hit(Failpoint::AnswerConclude, &said.text);
        let answer_tokens = self.counter.count(&said.text);
        // What was taken out again was made all the same.
        let made_tokens = answer_tokens.saturating_add(self.counter.count(&unseen));
        let (usage, model, citations) = match finish {
            Some(finish) => (finish.usage, finish.model, finish.citations),
            None => (None, None, Vec::new()),
        };
        // A source that failed before its first word charges nothing, nor does one that was never asked.
        let nothing = made_tokens == 0 && (failure.is_some() || watch.asked_after.get().is_none());
        let is_told = usage.is_some();
        let usage = if nothing {
            Usage::default()
        } else {
            usage.unwrap_or_else(|| counted_usage(ask, generation.mode(), made_tokens))
        };
        let owed = reservation.as_ref().map(|reservation| {
            // A request that failed before quotes took its place is not what they took.
            let by_the_model = generation.mode() == AnswerMode::Live;
            let unsaid = (by_the_model && !is_told && (may_be_charged || !nothing)).then_some(usage);
            self.owed_for(generation, &reservation.accounts, unsaid)
        });
        let owed = owed.unwrap_or_default();
        let settle = reservation.map(|reservation| {
            let taken = self
                .spending
                .used_amount(&usage)
                .saturating_add(self.spending.used_amount(&generation.void_usage()));
            let accounts = reservation.accounts.clone();
            let settle = BudgetSettlement { accounts, reserved: reservation.amount, used: taken };
            reservation.settle(taken);
            settle
        });
        let Said { text, boundaries } = said;
        let record = AnswerRecord {
            turn_id: generation.turn_id,
            answer: text,
            delta_offsets: boundaries,
            tokens: answer_tokens,
            status,
            mode: generation.mode(),
            model: model.clone(),
            usage,
            citations: citations.clone(),
            failure: failure.map(|failure| failure.code),
            at: Timestamp::now(),
            settlement: settle,
            pending_costs: owed,
        };
        let owes = !record.pending_costs.is_empty();
        let handed_over = Instant::now();
        let durable = match self.save_answer.ask(SaveAnswer(record), STORE_TIMEOUT).await {
            Ok(Ok(())) => true,
            Ok(Err(StorageError::Gone)) if taken_away || cancelled => {
                info!(ask.log, "the turn was ended elsewhere, or its conversation deleted");
                false
            }
            Ok(Err(error)) => {
                error!(ask.log, "the answer could not be stored"; "cause" => %ErrorChain(&error));
                false
            }
            Err(_) => {
                warn!(ask.log, "the store did not confirm the answer in time");
                false
            }
        };
        if owes {
            self.cost_owed.notify_one();
        }
        let (total, stored) = (watch.started.elapsed(), handed_over.elapsed());
        let first_word = generation.first_word_at().map(|at| at.duration_since(watch.started.into_std()));
        let (counted, mode) = (&self.metrics.answer, generation.mode());
        counted.count_turn(status, mode, &usage);
        counted.duration_seconds.observe(total.as_secs_f64());
        if let Some(first_word) = first_word {
            counted.time_to_first_token_seconds.observe(first_word.as_secs_f64());
            if mode == AnswerMode::Live {
                self.first_word_ms.store(millis(first_word).max(1), Ordering::Relaxed);
            }
        }
        info!(ask.log, "turn ended"; "status" => status.as_str(), "mode" => mode.as_str(),
            "source_id" => generation.source_id().as_deref(),
            "prompt_tokens" => usage.prompt_tokens, "completion_tokens" => usage.completion_tokens,
            "queued_ms" => watch.asked_after.get().map(millis), "first_word_ms" => first_word.map(millis),
            "store_ms" => millis(stored), "total_ms" => millis(total), "durable" => durable);
        generation.finish(Outcome { status, failure, usage, answer_tokens, model, citations, durable });
    }
}

/// What an answer took when its source does not say: our own count of a model's, nothing for a quote.
fn counted_usage(ask: &AskModel, mode: AnswerMode, answer_tokens: u32) -> Usage {
    match mode {
        AnswerMode::Live => {
            Usage { prompt_tokens: ask.prompt.tokens, completion_tokens: answer_tokens, cost: None }
        }
        AnswerMode::Excerpts => Usage::default(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn question_failure(error: &StorageError, asked_at: Timestamp) -> Failure {
    match error {
        StorageError::BudgetExceeded(scope) => over(LimitExceeded::new(*scope, asked_at)),
        StorageError::DuplicateQuestion => ErrorCode::DuplicateId.into(),
        StorageError::Superseded => ErrorCode::SessionNotFound.into(),
        StorageError::BufferFull => ErrorCode::StorageUnavailable.into(),
        StorageError::Panicked(_) => ErrorCode::InternalError.into(),
        StorageError::Rejected(_)
        | StorageError::Ambiguous(_)
        | StorageError::Unavailable(_)
        | StorageError::TimedOut
        | StorageError::WriterStopped
        | StorageError::Gone => ErrorCode::StorageUnavailable.into(),
    }
}
