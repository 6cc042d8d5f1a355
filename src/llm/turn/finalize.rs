//! Ends a turn: determines its status and usage, settles the budget, stores the answer and reports
//! the outcome.

use std::sync::Arc;
use std::time::Duration;

use slog::{error, info, warn};
use tokio::time::Instant;

use crate::budget::{Account, Reservation};
use crate::domain::clock::millis;
use crate::domain::error_chain::ErrorChain;
use crate::domain::failure::Failure;
use crate::domain::turn::{AnswerMode, TurnStatus, Usage};
use crate::llm::billing::pending_cost::CostAccounting;
use crate::llm::stream::outcome::Outcome;
use crate::llm::turn::context::ActiveTurn;
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
    /// The usage that upstream reported.
    reported_usage: Option<Usage>,
    /// Whether upstream may charge for the last request.
    may_be_charged: bool,
    /// Whether the store may already have a final answer.
    may_be_gone: bool,
}

/// What an answer used.
#[derive(Clone, Copy)]
struct AnswerUsage {
    usage: Usage,
    /// Whether upstream reported the usage itself.
    is_reported: bool,
    /// Whether, by our own count, no text was generated and nothing is charged.
    is_free: bool,
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

        let counter = turn.context.counter;
        let answer_tokens = counter.count(&closed.snapshot.text);
        // Text that was removed when the visitor cancelled the answer counts as generated.
        let generated_tokens = answer_tokens.saturating_add(counter.count(&closed.unseen));
        let usage = AnswerUsage::new(turn, &result, generated_tokens);
        let pending_costs = reservation
            .as_ref()
            .map_or_else(Vec::new, |reservation| pending_costs(turn, &reservation.accounts, &result, usage));
        let has_pending_costs = !pending_costs.is_empty();
        let settlement = reservation.map(|reservation| settle(turn, reservation, &usage.usage));
        let record = AnswerRecord {
            model: result.model.clone(),
            usage: usage.usage,
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
        let usage = usage.usage;
        let outcome = Outcome { status, failure, usage, answer_tokens, model, citations, durable };
        report(turn, &outcome, save_started_at.elapsed());
        turn.generation.finish(outcome);
    }
}

impl TurnResult {
    fn new(end: TurnEnd, is_cancelled: bool) -> Self {
        let may_be_gone = is_cancelled || matches!(end, TurnEnd::EndedElsewhere);
        let (status, failure, completion, may_be_charged) = match end {
            TurnEnd::Completed(completion) => (completion.status, None, Some(completion), true),
            TurnEnd::Failed(error) => (TurnStatus::Failed, Some(error.failure), None, error.may_be_charged),
            TurnEnd::Cancelled => (TurnStatus::Cancelled, None, None, true),
            TurnEnd::Abandoned | TurnEnd::ShuttingDown | TurnEnd::EndedElsewhere => {
                (TurnStatus::Interrupted, None, None, true)
            }
        };
        // The visitor has seen the answer stop, so the cancellation takes precedence over any other
        // end.
        let (status, failure) = match is_cancelled {
            true => (TurnStatus::Cancelled, None),
            false => (status, failure),
        };
        let (reported_usage, model, citations) = match completion {
            Some(completion) => (whole_usage(completion.usage), completion.model, completion.citations),
            None => (None, None, Vec::new()),
        };
        Self { status, failure, model, citations, reported_usage, may_be_charged, may_be_gone }
    }
}

impl AnswerUsage {
    fn new(turn: &ActiveTurn, result: &TurnResult, generated_tokens: u32) -> Self {
        // A backend that failed before its first text, or received no request, charges nothing.
        let was_sent = turn.timings.queue_time.get().is_some();
        let is_free = generated_tokens == 0 && (result.failure.is_some() || !was_sent);
        let usage = match (is_free, result.reported_usage) {
            (true, _) => Usage::default(),
            (false, Some(reported)) => reported,
            (false, None) => estimated_usage(turn, generated_tokens),
        };
        Self { usage, is_reported: result.reported_usage.is_some(), is_free }
    }
}

/// Returns the usage if upstream reported all of it.
fn whole_usage(reported: ReportedUsage) -> Option<Usage> {
    let (prompt_tokens, completion_tokens) = reported.prompt_tokens.zip(reported.completion_tokens)?;
    Some(Usage { prompt_tokens, completion_tokens, cost: reported.cost })
}

/// Returns the usage by our own count. Excerpts use nothing.
fn estimated_usage(turn: &ActiveTurn, generated_tokens: u32) -> Usage {
    match turn.generation.mode() {
        AnswerMode::Live => Usage::from_tokens(turn.request.prompt.tokens, generated_tokens),
        AnswerMode::Excerpts => Usage::default(),
    }
}

fn pending_costs(
    turn: &ActiveTurn,
    accounts: &[Account],
    result: &TurnResult,
    usage: AnswerUsage,
) -> Vec<PendingCost> {
    let context = &turn.context;
    if !context.router.reports_costs() {
        return Vec::new();
    }
    // If excerpts have replaced the model, the usage is not that of the failed request.
    let is_from_model = turn.generation.mode() == AnswerMode::Live;
    let is_unreported = !usage.is_reported && (result.may_be_charged || !usage.is_free);
    let estimate = (is_from_model && is_unreported).then_some(usage.usage);
    let accounting =
        CostAccounting { budget: &context.budget, accounts, charged_by: context.instance_id.name() };
    accounting.pending_costs(&turn.generation, estimate)
}

/// Counts the actual usage, with that of voided attempts, instead of the reservation.
fn settle(turn: &ActiveTurn, reservation: Reservation, usage: &Usage) -> BudgetSettlement {
    let budget = &turn.context.budget;
    let used = budget.used_amount(usage).saturating_add(budget.used_amount(&turn.generation.voided_usage()));
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
        "queued_ms" => timings.queue_time.get().map(millis), "first_word_ms" => first_text.map(millis),
        "store_ms" => millis(save_time), "total_ms" => millis(total), "durable" => durable);
}
