//! Ends a turn: determines its status and usage, settles the budget, stores the answer and reports
//! the outcome.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};
use tokio::time::Instant;

use crate::budget::{Account, Amount, Reservation};
use crate::domain::clock::millis;
use crate::domain::error_chain::ErrorChain;
use crate::domain::failure::Failure;
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::llm::billing::pending_cost::CostAccounting;
use crate::llm::stream::outcome::Outcome;
use crate::llm::stream::snapshot::{ClosedAnswer, UsedRequest};
use crate::llm::turn::context::ActiveTurn;
use crate::llm::turn::request_usage::request_usage;
use crate::llm::turn::store::{SaveError, answer_record};
use crate::llm::upstream::completion::{Completion, CompletionError, ReportedUsage};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::records::{AnswerRecord, BudgetSettlement, PendingCost};
use crate::system::failpoints::{self, Failpoint};

/// Why the generation of an answer ended.
pub(crate) enum TurnEnd {
    Completed(Completion),
    Failed(CompletionError),
    /// The visitor cancelled the answer.
    Cancelled,
    /// The answer had no subscriber for too long.
    Abandoned,
    ShuttingDown,
    /// Another instance ended the turn, or the conversation was deleted. The stored turn is final.
    EndedElsewhere,
}

/// Finalizes one turn.
pub(crate) struct Finalizer<'a> {
    turn: &'a ActiveTurn,
    end: TurnEnd,
    reservation: Option<Reservation>,
}

/// The part of a turn's result that follows from why the turn ended.
struct TurnResult {
    status: TurnStatus,
    failure: Option<Failure>,
    model: Option<Arc<str>>,
    citations: Vec<String>,
    /// What upstream reported about the usage of the last request.
    reported_usage: ReportedUsage,
    /// Whether upstream may charge for the last request.
    may_be_charged: bool,
    /// Whether the store may already have a final answer.
    may_be_gone: bool,
}

impl<'a> Finalizer<'a> {
    pub(crate) fn new(turn: &'a ActiveTurn, end: TurnEnd, reservation: Option<Reservation>) -> Self {
        Self { turn, end, reservation }
    }

    /// Finalizes the turn and finishes its generation.
    pub(crate) async fn run(self) {
        let Self { turn, end, reservation } = self;
        let closed = turn.generation.close();
        if let TurnEnd::Failed(error) = &end
            && !closed.is_cancelled
        {
            warn!(turn.request.log, "answer failed"; "code" => ?error.failure.code, "cause" => %error);
        }
        let result = TurnResult::new(end, closed.is_cancelled);
        failpoints::hit(Failpoint::AnswerConclude, &closed.snapshot.text);

        let answer_tokens = turn.context.counter.count(&closed.snapshot.text);
        let requests = used_requests(turn, &closed, &result, answer_tokens);
        let usage =
            requests.iter().map(|request| request.usage).fold(Usage::default(), Usage::saturating_add);
        let pending_costs = reservation
            .as_ref()
            .map_or_else(Vec::new, |reservation| pending_costs(turn, &reservation.accounts, &requests));
        let has_pending_costs = !pending_costs.is_empty();
        let settlement = reservation.map(|reservation| settle(turn, reservation, &requests));
        let record = AnswerRecord {
            model: result.model.clone(),
            usage,
            citations: result.citations.clone(),
            failure: result.failure.map(|failure| failure.code),
            settlement,
            pending_costs,
            ..answer_record(&turn.generation, closed.snapshot, answer_tokens, result.status)
        };

        let save_started_at = Instant::now();
        let durable = save(turn, record, result.may_be_gone).await;
        if has_pending_costs {
            turn.context.pending_cost_added.notify_one();
        }
        let TurnResult { status, failure, model, citations, .. } = result;
        let outcome = Outcome { status, failure, usage, answer_tokens, model, citations, durable };
        report(turn, &outcome, save_started_at.elapsed());
        turn.generation.finish(outcome);
    }
}

impl TurnResult {
    fn new(end: TurnEnd, is_cancelled: bool) -> Self {
        let may_be_gone = is_cancelled || matches!(end, TurnEnd::EndedElsewhere);
        let ended = |status| Self {
            status,
            failure: None,
            model: None,
            citations: Vec::new(),
            reported_usage: ReportedUsage::default(),
            may_be_charged: true,
            may_be_gone,
        };
        let result = match end {
            TurnEnd::Completed(Completion { status, usage, model, citations, .. }) => {
                Self { reported_usage: usage, model, citations, ..ended(status) }
            }
            TurnEnd::Failed(error) => Self {
                failure: Some(error.failure),
                reported_usage: error.usage,
                may_be_charged: error.may_be_charged,
                ..ended(TurnStatus::Failed)
            },
            TurnEnd::Cancelled => ended(TurnStatus::Cancelled),
            TurnEnd::Abandoned | TurnEnd::ShuttingDown | TurnEnd::EndedElsewhere => {
                ended(TurnStatus::Interrupted)
            }
        };
        // The visitor has seen the answer stop, so the cancellation takes precedence over any other
        // end.
        match is_cancelled {
            true => Self { status: TurnStatus::Cancelled, failure: None, ..result },
            false => result,
        }
    }
}

/// Returns the requests that used something. Excerpts are no request.
fn used_requests(
    turn: &ActiveTurn,
    closed: &ClosedAnswer,
    result: &TurnResult,
    answer_tokens: u32,
) -> Vec<UsedRequest> {
    let mut requests = turn.generation.voided_requests();
    if let Some(request) = closed.request {
        // Text that was removed when the visitor cancelled the answer counts as generated.
        let unseen_tokens = turn.context.counter.count(&closed.unseen);
        let text_tokens = if request.has_text { answer_tokens.saturating_add(unseen_tokens) } else { 0 };
        let usage = request_usage(request, text_tokens, result.reported_usage, result.may_be_charged);
        requests.push(UsedRequest { upstream_id: turn.generation.upstream_id(), usage });
    }
    requests
}

fn pending_costs(turn: &ActiveTurn, accounts: &[Account], requests: &[UsedRequest]) -> Vec<PendingCost> {
    let context = &turn.context;
    if !context.router.reports_costs() {
        return Vec::new();
    }
    let accounting =
        CostAccounting { budget: &context.budget, accounts, charged_by: context.instance_id.name() };
    accounting.pending_costs(turn.generation.turn_id, requests)
}

/// Counts what all requests used instead of the reservation.
fn settle(turn: &ActiveTurn, reservation: Reservation, requests: &[UsedRequest]) -> BudgetSettlement {
    let budget = &turn.context.budget;
    // Each request has its own price: a reported cost, or that of its tokens.
    let amounts = requests.iter().map(|request| budget.used_amount(&request.usage));
    let used = amounts.fold(Amount::default(), Amount::saturating_add);
    let accounts = reservation.accounts.clone();
    let settlement = BudgetSettlement { accounts, reserved: reservation.amount, used };
    reservation.settle(used);
    settlement
}

/// Saves the answer. Returns whether the store confirmed it.
async fn save(turn: &ActiveTurn, record: AnswerRecord, may_be_gone: bool) -> bool {
    let log = &turn.request.log;
    match turn.context.store.save_answer(record, STORE_TIMEOUT).await {
        Ok(()) => return true,
        Err(SaveError::Gone) if may_be_gone => {
            info!(log, "turn already finalized or conversation deleted");
        }
        Err(error @ (SaveError::Gone | SaveError::Rejected(_))) => {
            error!(log, "saving the answer failed"; "cause" => %ErrorChain(&error));
        }
        Err(SaveError::Unconfirmed(_)) => warn!(log, "store did not confirm the answer in time"),
    }
    false
}

/// Counts the turn in the metrics and logs it.
fn report(turn: &ActiveTurn, outcome: &Outcome, save_time: Duration) {
    let ActiveTurn { context, request, generation, timings } = turn;
    let total = timings.started_at.elapsed();
    let started_at = timings.started_at.into_std();
    let first_text = generation.first_text_at().map(|at| at.duration_since(started_at));
    let Outcome { status, usage, durable, .. } = outcome;
    let (metrics, mode) = (&context.metrics.answer, generation.mode());
    metrics.count_turn(*status, mode, usage);
    metrics.duration_seconds.observe(total.as_secs_f64());
    if let Some(first_text) = first_text {
        metrics.time_to_first_token_seconds.observe(first_text.as_secs_f64());
        if mode == AnswerMode::Live {
            context.time_to_first_text.set(first_text);
        }
    }
    info!(request.log, "turn ended"; "status" => status.as_str(), "mode" => mode.as_str(),
        "source_id" => generation.upstream_id().as_deref(),
        "prompt_tokens" => usage.prompt_tokens, "completion_tokens" => usage.completion_tokens,
        "usage_estimated" => usage.is_estimated(),
        "queued_ms" => timings.queue_time.get().map(millis), "first_word_ms" => first_text.map(millis),
        "store_ms" => millis(save_time), "total_ms" => millis(total), "durable" => durable);
}
