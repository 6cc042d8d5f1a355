//! Pending costs: the estimates that are charged until the model server reports the cost of a
//! request.
//!
//! A row is inserted with the answer of its turn, and deleted in the transaction that corrects the
//! accounts. Its deletion therefore proves that no other instance has corrected them. A row has no
//! foreign key to its turn, because the cost of a deleted conversation still counts. It contains no
//! text of visitors.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::budget::{Account, AddressDigest, Amount, Day, ReportedCost, RequestTokens};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::{Key, cost_to_column, count_from_column, count_to_column};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{pending_costs, turns};
use crate::persistence::messages::{FindPendingCosts, UpdatePendingCost};
use crate::persistence::queries::budget;
use crate::persistence::records::{
    BudgetSettlement, PendingCost, PendingCostUpdate, PendingCosts, WriteOutcome,
};

#[derive(Insertable)]
#[diesel(table_name = pending_costs)]
struct NewPendingCost<'a> {
    turn_id: Key,
    upstream_id: &'a str,
    day: i32,
    session_id: Option<Key>,
    address_digest: Option<Vec<u8>>,
    network_digest: Option<Vec<u8>>,
    tokens: i64,
    cost_nanodollars: i64,
    charged_by: &'a str,
    charged_at_ms: i64,
    attempts: i32,
    due_at_ms: i64,
    prompt_tokens: i32,
    completion_tokens: i32,
}

#[derive(Queryable)]
struct PendingCostRow {
    turn_id: Key,
    upstream_id: String,
    day: i32,
    session_id: Option<Key>,
    address_digest: Option<Vec<u8>>,
    network_digest: Option<Vec<u8>>,
    tokens: i64,
    cost_nanodollars: i64,
    charged_by: String,
    charged_at_ms: i64,
    attempts: i32,
    due_at_ms: i64,
    prompt_tokens: i32,
    completion_tokens: i32,
}

impl PendingCostRow {
    fn into_record(self) -> PendingCost {
        PendingCost {
            turn_id: TurnId(self.turn_id.0),
            upstream_id: self.upstream_id.into(),
            accounts: accounts(self.day, self.session_id, self.address_digest, self.network_digest),
            charged: budget::amount_from_columns(self.tokens, self.cost_nanodollars),
            charged_by: self.charged_by.into(),
            charged_at: Timestamp(self.charged_at_ms),
            attempts: u32::try_from(self.attempts).unwrap_or(0),
            due_at: Timestamp(self.due_at_ms),
            estimate: tokens_from_columns(self.prompt_tokens, self.completion_tokens),
        }
    }
}

/// The columns of a row that a correction needs.
#[derive(Queryable)]
struct Charge {
    day: i32,
    session_id: Option<Key>,
    address_digest: Option<Vec<u8>>,
    network_digest: Option<Vec<u8>>,
    tokens: i64,
    cost_nanodollars: i64,
    prompt_tokens: i32,
    completion_tokens: i32,
}

fn tokens_from_columns(prompt: i32, completion: i32) -> RequestTokens {
    RequestTokens { prompt: count_from_column(prompt), completion: count_from_column(completion) }
}

fn accounts(
    day: i32,
    session_id: Option<Key>,
    address_digest: Option<Vec<u8>>,
    network_digest: Option<Vec<u8>>,
) -> Vec<Account> {
    let day = Day(day);
    let digest = |bytes: Option<Vec<u8>>| Some(AddressDigest(bytes?.try_into().ok()?));
    let address = digest(address_digest).map(|digest| Account::Address(day, digest));
    let network = digest(network_digest).map(|digest| Account::Network(day, digest));
    let session = session_id.map(|id| Account::Session(SessionId(id.0)));
    std::iter::once(Account::Day(day)).chain(address).chain(network).chain(session).collect()
}

/// Inserts the pending costs of a turn that has ended.
pub(crate) async fn insert(connection: &mut Connection, costs: &[PendingCost]) -> QueryResult<()> {
    for cost in costs {
        let (mut day, mut session_id, mut address_digest, mut network_digest) = (0, None, None, None);
        for account in &cost.accounts {
            match account {
                Account::Day(account_day) => day = account_day.0,
                Account::Address(_, digest) => address_digest = Some(digest.0.to_vec()),
                Account::Network(_, digest) => network_digest = Some(digest.0.to_vec()),
                Account::Session(id) => session_id = Some(Key(id.0)),
            }
        }
        let row = NewPendingCost {
            turn_id: Key(cost.turn_id.0),
            upstream_id: &cost.upstream_id,
            day,
            session_id,
            address_digest,
            network_digest,
            tokens: budget::amount_to_column(cost.charged.tokens),
            cost_nanodollars: budget::amount_to_column(cost.charged.nanodollars),
            charged_by: &cost.charged_by,
            charged_at_ms: cost.charged_at.0,
            attempts: count_to_column(cost.attempts),
            due_at_ms: cost.due_at.0,
            prompt_tokens: count_to_column(cost.estimate.prompt),
            completion_tokens: count_to_column(cost.estimate.completion),
        };
        // If a server gives two requests of a turn the same id, the cost is looked up only once.
        let insert = diesel::insert_into(pending_costs::table).values(row).on_conflict_do_nothing();
        run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
    }
    Ok(())
}

/// Reads the due costs, and the oldest ones above the maximum.
pub(crate) async fn find(connection: &mut Connection, find: &FindPendingCosts) -> QueryResult<PendingCosts> {
    let count = pending_costs::table.count();
    let count: i64 = run_statement!(connection, conn => count.get_result(conn).await)?;
    let total = u64::try_from(count).unwrap_or(0);
    let limit = i64::try_from(find.max_due).unwrap_or(i64::MAX);
    let first = pending_costs::table.order(pending_costs::due_at_ms.asc()).limit(limit);
    let first: Vec<PendingCostRow> = run_statement!(connection, conn => first.load(conn).await)?;
    let (due, later): (Vec<_>, Vec<_>) =
        first.into_iter().map(PendingCostRow::into_record).partition(|cost| cost.due_at <= find.now);
    let excess = i64::try_from(total.saturating_sub(find.max_kept)).unwrap_or(i64::MAX).min(limit);
    let surplus: Vec<PendingCostRow> = if excess > 0 {
        let oldest = pending_costs::table.order(pending_costs::charged_at_ms.asc()).limit(excess);
        run_statement!(connection, conn => oldest.load(conn).await)?
    } else {
        Vec::new()
    };
    Ok(PendingCosts {
        due,
        next_due: later.as_slice().first().map(|cost| cost.due_at),
        surplus: surplus.into_iter().map(PendingCostRow::into_record).collect(),
        total,
    })
}

/// Changes or deletes a pending cost. A retry finds nothing to change.
pub(crate) async fn update(
    connection: &mut Connection,
    request: &UpdatePendingCost,
) -> QueryResult<WriteOutcome> {
    let row = pending_costs::table.find((Key(request.turn_id.0), &*request.upstream_id));
    let is_changed = match request.update {
        PendingCostUpdate::Reschedule { expected_attempts, attempts, due_at } => {
            let unchanged = row.filter(pending_costs::attempts.eq(count_to_column(expected_attempts)));
            let reschedule = diesel::update(unchanged).set((
                pending_costs::attempts.eq(count_to_column(attempts)),
                pending_costs::due_at_ms.eq(due_at.0),
            ));
            run_statement!(connection, conn => reschedule.execute(conn).await)? > 0
        }
        PendingCostUpdate::Abandon => {
            let delete = diesel::delete(row);
            run_statement!(connection, conn => delete.execute(conn).await)? > 0
        }
        PendingCostUpdate::Resolve(cost) => resolve(connection, request, cost).await?,
    };
    Ok(if is_changed { WriteOutcome::Done } else { WriteOutcome::NotFound })
}

/// Deletes the row and corrects the accounts and the turn. Returns whether there was a row.
async fn resolve(
    connection: &mut Connection,
    request: &UpdatePendingCost,
    cost: ReportedCost,
) -> QueryResult<bool> {
    let row = pending_costs::table.find((Key(request.turn_id.0), &*request.upstream_id));
    let delete = diesel::delete(row).returning((
        pending_costs::day,
        pending_costs::session_id,
        pending_costs::address_digest,
        pending_costs::network_digest,
        pending_costs::tokens,
        pending_costs::cost_nanodollars,
        pending_costs::prompt_tokens,
        pending_costs::completion_tokens,
    ));
    let deleted: Vec<Charge> = run_statement!(connection, conn => delete.get_results(conn).await)?;
    let Some(charge) = deleted.into_iter().next() else { return Ok(false) };
    let charged: Amount = budget::amount_from_columns(charge.tokens, charge.cost_nanodollars);
    let settlement = BudgetSettlement {
        accounts: accounts(charge.day, charge.session_id, charge.address_digest, charge.network_digest),
        reserved: charged,
        used: cost.amount(charged),
    };
    budget::settle(connection, &settlement).await?;
    let estimate = tokens_from_columns(charge.prompt_tokens, charge.completion_tokens);
    correct_usage(connection, request.turn_id, estimate, cost).await?;
    Ok(true)
}

/// Replaces the estimate in the usage of a turn by what was reported.
async fn correct_usage(
    connection: &mut Connection,
    turn_id: TurnId,
    estimate: RequestTokens,
    cost: ReportedCost,
) -> QueryResult<()> {
    let turn = || turns::table.filter(turns::id.eq(Key(turn_id.0)));
    let no_cost = turn().filter(turns::cost_nanodollars.is_null());
    let start_at_zero = diesel::update(no_cost).set(turns::cost_nanodollars.eq(0));
    run_statement!(connection, conn => start_at_zero.execute(conn).await)?;
    let dollars = cost_to_column(cost.dollars);
    let add_cost = diesel::update(turn()).set(turns::cost_nanodollars.eq(turns::cost_nanodollars + dollars));
    run_statement!(connection, conn => add_cost.execute(conn).await)?;
    let Some(reported) = cost.tokens else { return Ok(()) };
    let difference = |reported, estimate| count_to_column(reported) - count_to_column(estimate);
    let prompt = difference(reported.prompt, estimate.prompt);
    let completion = difference(reported.completion, estimate.completion);
    let set_tokens = diesel::update(turn()).set((
        turns::prompt_tokens.eq(turns::prompt_tokens + prompt),
        turns::completion_tokens.eq(turns::completion_tokens + completion),
    ));
    run_statement!(connection, conn => set_tokens.execute(conn).await)?;
    let estimated = turn().filter(turns::estimated_requests.gt(0));
    let one_less = diesel::update(estimated).set(turns::estimated_requests.eq(turns::estimated_requests - 1));
    run_statement!(connection, conn => one_less.execute(conn).await)?;
    Ok(())
}
