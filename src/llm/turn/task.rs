//! The task that carries out one turn.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
use slog::{error, info};
use tokio::time::{MissedTickBehavior, interval};

use crate::budget::{Amount, LimitExceeded, Reservation};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::llm::messages::GenerateAnswer;
use crate::llm::resilience::concurrency_limit::QueuedPermit;
use crate::llm::router::{ModelPermit, Route, budget_failure};
use crate::llm::stream::generation::Generation;
use crate::llm::stream::outcome::{Acceptance, Outcome};
use crate::llm::turn::attempts::AttemptLoop;
use crate::llm::turn::context::{ActiveTurn, TurnContext};
use crate::llm::turn::finalize::{Finalizer, TurnEnd};
use crate::llm::turn::{checkpoint, fallback};
use crate::llm::upstream::completion::{Completion, CompletionError};
use crate::mailbox::AskError;
use crate::persistence::StorageError;
use crate::persistence::messages::SaveQuestion;
use crate::persistence::records::BudgetReservation;
use crate::system::failpoints::{self, Failpoint};
use crate::system::panics::catch_panic;
use crate::telemetry::metrics::{DegradedBy, GaugeGuard, QueueRejection};

/// How often the queue position is updated.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// The task of one turn.
pub(crate) struct TurnTask {
    turn: ActiveTurn,
}

/// The backend that the question was routed to.
enum Answerer {
    Model(QueuedPermit),
    Excerpts(Option<DegradedBy>),
}

impl TurnTask {
    pub(crate) fn new(
        context: Arc<TurnContext>,
        request: GenerateAnswer,
        generation: Arc<Generation>,
    ) -> Self {
        Self { turn: ActiveTurn::new(context, request, generation) }
    }

    /// Carries out the turn. The generation is always finished, even if the turn panics.
    pub(crate) async fn run(self, route: Route) {
        let ActiveTurn { request, generation, .. } = &self.turn;
        let Err(panic) = catch_panic(Component::Answer, self.answer(route)).await else { return };
        error!(request.log, "turn task panicked"; &panic);
        // The store may have the question, so that the turn counts as accepted and failed.
        generation.set_acceptance(Ok(Acceptance { durable: false }));
        let error = CompletionError::not_sent(ErrorCode::InternalError.into());
        // The actual usage is unknown. The dropped reservation counts as used.
        let finalized = Finalizer::new(&self.turn, TurnEnd::Failed(error), None).run();
        if let Err(panic) = catch_panic(Component::Answer, finalized).await {
            error!(request.log, "finalizing a turn panicked"; &panic);
            generation.finish(Outcome::internal_error(0));
        }
    }

    /// Stores the question and generates the answer at the same time, then finalizes the turn.
    async fn answer(&self, route: Route) {
        let request = &self.turn.request;
        failpoints::hit(Failpoint::AnswerTask, &request.prompt.question);
        let (answerer, reservation) = match route {
            Route::Model(ModelPermit { permit, reservation }) => (Answerer::Model(permit), Some(reservation)),
            Route::Excerpts(reason) => (Answerer::Excerpts(reason), None),
        };
        // `try_join` polls `accept` first, so the question is sent to the store before any request
        // is sent upstream, and no answer is stored before its question.
        let accept = self.accept_question(reservation.as_ref());
        let generate = async { Ok(self.generate(answerer, reservation.as_ref()).await) };
        match try_join(accept, generate).await {
            Ok(((), end)) => Finalizer::new(&self.turn, end, reservation).run().await,
            Err(failure) => {
                if let Some(reservation) = reservation {
                    reservation.settle(Amount::default());
                }
                info!(request.log, "question refused"; "code" => ?failure.code);
            }
        }
    }

    /// Stores the question and reports whether it was accepted.
    async fn accept_question(&self, reservation: Option<&Reservation>) -> Result<(), Failure> {
        let ActiveTurn { context, request, generation, .. } = &self.turn;
        let reply = context.store.save_question(|| self.question(reservation)).await;
        if let Ok(Err(StorageError::BudgetExceeded(scope))) = &reply {
            context.metrics.budget.count_rejection(*scope);
            // Released before the visitor is notified, because the visitor may ask again
            // immediately.
            if let Some(reservation) = reservation {
                reservation.release();
            }
        }
        let acceptance = match reply {
            Ok(Ok(())) => Ok(Acceptance { durable: true }),
            Ok(Err(error)) => Err(question_failure(&error, request.asked_at)),
            Err(AskError::Closed) => Err(ErrorCode::InternalError.into()),
            // The write stays in the store's buffer and is committed once the database is
            // available.
            Err(AskError::Timeout) => Ok(Acceptance { durable: false }),
        };
        generation.set_acceptance(acceptance);
        acceptance.map(|_| ())
    }

    fn question(&self, reservation: Option<&Reservation>) -> SaveQuestion {
        let ActiveTurn { context, request, .. } = &self.turn;
        SaveQuestion {
            turn_id: request.turn_id,
            session_id: request.session_id,
            epoch: request.epoch,
            client_id: request.client_id.clone(),
            question: Arc::clone(&request.prompt.question),
            tokens: request.question_tokens,
            asked_at: request.asked_at,
            reservation: reservation.map(|reservation| {
                Box::new(BudgetReservation {
                    accounts: reservation.accounts.clone(),
                    amount: reservation.amount,
                    policy: context.budget.policy(),
                })
            }),
            answered_by: context.instance_id.name(),
            regenerates: request.regenerates,
        }
    }

    /// Generates the answer, until it ends or is stopped.
    async fn generate(&self, answerer: Answerer, reservation: Option<&Reservation>) -> TurnEnd {
        let ActiveTurn { context, generation, .. } = &self.turn;
        tokio::select! {
            biased;
            () = generation.cancelled() => TurnEnd::Cancelled,
            () = context.shutdown.cancelled() => TurnEnd::ShuttingDown,
            result = self.answer_with(answerer, reservation) => match result {
                Ok(completion) => TurnEnd::Completed(completion),
                Err(error) => TurnEnd::Failed(error),
            },
            () = generation.abandoned(context.limits.reconnect_grace) => TurnEnd::Abandoned,
            () = checkpoint::save_regularly(&self.turn) => TurnEnd::EndedElsewhere,
        }
    }

    async fn answer_with(
        &self,
        answerer: Answerer,
        reservation: Option<&Reservation>,
    ) -> Result<Completion, CompletionError> {
        match answerer {
            // Excerpts cost nothing and need no permit.
            Answerer::Excerpts(reason) => fallback::answer(&self.turn, reason).await,
            Answerer::Model(mut permit) => {
                self.wait_in_queue(&mut permit).await?;
                let timings = &self.turn.timings;
                timings.queue_time.set(Some(timings.started_at.elapsed()));
                let result = AttemptLoop::new(&self.turn, reservation).run().await;
                // The permit is held until the answer has ended.
                drop(permit);
                result
            }
        }
    }

    /// Waits for a permit and publishes the queue position meanwhile.
    async fn wait_in_queue(&self, permit: &mut QueuedPermit) -> Result<(), CompletionError> {
        if permit.position().is_none() {
            return Ok(());
        }
        let ActiveTurn { context, generation, .. } = &self.turn;
        let _waiting = GaugeGuard::new(&context.metrics.upstream.queue_depth);
        let mut timeout = std::pin::pin!(tokio::time::sleep(permit.max_wait()));
        let mut ticks = interval(POSITION_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let is_acquired = loop {
            tokio::select! {
                biased;
                () = permit.acquired() => break true,
                () = &mut timeout => break false,
                _ = ticks.tick() => generation.set_queue_position(permit.position()),
            }
        };
        generation.set_queue_position(None);
        if is_acquired {
            return Ok(());
        }
        context.metrics.upstream.count_queue_rejection(QueueRejection::TimedOut);
        Err(CompletionError::not_sent(ErrorCode::Overloaded.into()))
    }
}

/// Returns the failure of a question that the store rejected.
fn question_failure(error: &StorageError, asked_at: Timestamp) -> Failure {
    match error {
        StorageError::BudgetExceeded(scope) => budget_failure(LimitExceeded::new(*scope, asked_at)),
        StorageError::DuplicateQuestion => ErrorCode::DuplicateId.into(),
        StorageError::Superseded => ErrorCode::SessionNotFound.into(),
        StorageError::BufferFull => ErrorCode::StorageUnavailable.into(),
        StorageError::Panicked(_) => ErrorCode::InternalError.into(),
        StorageError::Rejected(_)
        | StorageError::Ambiguous(_)
        | StorageError::TimedOut
        | StorageError::WriterStopped
        | StorageError::Unavailable(_)
        | StorageError::Gone => ErrorCode::StorageUnavailable.into(),
    }
}
