//! The budget accounts in the store: reservations and settlements, in the transactions that store
//! the question and the answer.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::budget::{Account, Amount, BudgetLimits, BudgetPolicy};
use crate::domain::budget_scope::BudgetScope;
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{address_budgets, daily_budgets, sessions};
use crate::persistence::records::{BudgetReservation, BudgetSettlement};

/// Whether a reservation that would exceed a limit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitCheck {
    Enforce,
    /// Reserves the amount in any case, because the answer is already being generated.
    Skip,
}

/// What is added to an account, and the maximum that the account may hold before.
#[derive(Clone, Copy)]
struct AccountChange {
    tokens: i64,
    nanodollars: i64,
    max_tokens_before: i64,
    max_nanodollars_before: i64,
}

impl AccountChange {
    /// Adds an amount if the sum is within the limits.
    fn add_within(limits: BudgetLimits, amount: Amount) -> Self {
        let (tokens, nanodollars) = (amount_to_column(amount.tokens), amount_to_column(amount.nanodollars));
        let max_before = |limit: Option<u64>, amount: i64| {
            limit.map_or(i64::MAX, |limit| amount_to_column(limit).saturating_sub(amount))
        };
        Self {
            tokens,
            nanodollars,
            max_tokens_before: max_before(limits.tokens, tokens),
            max_nanodollars_before: max_before(limits.nanodollars, nanodollars),
        }
    }

    /// Replaces one amount by another, without a limit.
    fn replace(before: Amount, after: Amount) -> Self {
        let difference =
            |before: u64, after: u64| amount_to_column(after).saturating_sub(amount_to_column(before));
        Self {
            tokens: difference(before.tokens, after.tokens),
            nanodollars: difference(before.nanodollars, after.nanodollars),
            max_tokens_before: i64::MAX,
            max_nanodollars_before: i64::MAX,
        }
    }
}

/// Applies a change to the row of an account in one statement, so that concurrent instances cannot
/// exceed a limit together. Evaluates to whether the row was changed.
macro_rules! update_account {
    ($connection:expr, $change:expr, $table:ident, $row:expr) => {{
        let row = $row
            .filter($table::tokens.le($change.max_tokens_before))
            .filter($table::cost_nanodollars.le($change.max_nanodollars_before));
        let update = diesel::update(row).set((
            $table::tokens.eq($table::tokens + $change.tokens),
            $table::cost_nanodollars.eq($table::cost_nanodollars + $change.nanodollars),
        ));
        run_statement!($connection, conn => AlwaysPrepared(update).execute(conn).await)? > 0
    }};
}

/// Reads the columns of an account, if its row exists.
macro_rules! read_account {
    ($connection:expr, $table:ident, $row:expr) => {{
        let columns = $row.select(($table::tokens, $table::cost_nanodollars));
        run_statement!($connection, conn => columns.first(conn).await.optional())?
    }};
}

/// Reads the used and reserved amounts of accounts.
pub(crate) async fn load(
    connection: &mut Connection,
    accounts: &[Account],
) -> QueryResult<Vec<(Account, Amount)>> {
    let mut loaded = Vec::with_capacity(accounts.len());
    for account in accounts.iter().copied() {
        let columns: Option<(i64, i64)> = match account {
            Account::Day(day) => {
                read_account!(connection, daily_budgets, daily_budgets::table.find(day.0))
            }
            Account::Address(day, digest) | Account::Network(day, digest) => {
                let row = address_budgets::table.find((day.0, digest.0.to_vec()));
                read_account!(connection, address_budgets, row)
            }
            Account::Session(id) => read_account!(connection, sessions, sessions::table.find(Key(id.0))),
        };
        let (tokens, nanodollars) = columns.unwrap_or_default();
        loaded.push((account, amount_from_columns(tokens, nanodollars)));
    }
    Ok(loaded)
}

/// Reserves an amount in all of its accounts. If an account would exceed an enforced limit,
/// reserves nothing and returns the scope of that account.
pub(crate) async fn reserve(
    connection: &mut Connection,
    reservation: &BudgetReservation,
    check: LimitCheck,
) -> QueryResult<Option<BudgetScope>> {
    let charges: Vec<(Account, Amount)> =
        reservation.accounts.iter().map(|account| (*account, reservation.amount)).collect();
    let policy = (check == LimitCheck::Enforce).then_some(reservation.policy);
    reserve_charges(connection, &charges, policy).await
}

/// Makes all reservations with one statement per account, or none if a limit would be exceeded.
/// Returns whether they were made. All must have the same policy.
pub(crate) async fn reserve_together(
    connection: &mut Connection,
    reservations: &[&BudgetReservation],
) -> QueryResult<bool> {
    let Some(policy) = reservations.first().map(|reservation| reservation.policy) else { return Ok(true) };
    let mut positions = HashMap::new();
    let mut charges: Vec<(Account, Amount)> = Vec::new();
    for reservation in reservations {
        for account in &reservation.accounts {
            let position = *positions.entry(*account).or_insert(charges.len());
            match charges.get_mut(position) {
                Some((_, sum)) => *sum = sum.saturating_add(reservation.amount),
                None => charges.push((*account, reservation.amount)),
            }
        }
    }
    Ok(reserve_charges(connection, &charges, Some(policy)).await?.is_none())
}

/// Without a policy no limit is checked.
async fn reserve_charges(
    connection: &mut Connection,
    charges: &[(Account, Amount)],
    policy: Option<BudgetPolicy>,
) -> QueryResult<Option<BudgetScope>> {
    for (position, (account, amount)) in charges.iter().enumerate() {
        let limits = policy.map_or(BudgetLimits::default(), |policy| policy.limits(account.scope()));
        let addition = AccountChange::add_within(limits, *amount);
        if update(connection, *account, addition).await? {
            continue;
        }
        create_account(connection, *account).await?;
        if update(connection, *account, addition).await? || policy.is_none() {
            continue;
        }
        for (earlier, amount) in charges.iter().take(position) {
            update(connection, *earlier, AccountChange::replace(*amount, Amount::default())).await?;
        }
        return Ok(Some(account.scope()));
    }
    Ok(None)
}

/// Replaces a reservation by the used amount. Must be done only once, in the transaction that ends
/// the turn. The account of a deleted session, or of an address on an earlier day, no longer
/// exists.
pub(crate) async fn settle(connection: &mut Connection, settlement: &BudgetSettlement) -> QueryResult<()> {
    for account in &settlement.accounts {
        update(connection, *account, AccountChange::replace(settlement.reserved, settlement.used)).await?;
    }
    Ok(())
}

/// Applies a change. Returns false if the row does not exist or a limit would be exceeded.
async fn update(connection: &mut Connection, account: Account, change: AccountChange) -> QueryResult<bool> {
    Ok(match account {
        Account::Day(day) => {
            update_account!(connection, change, daily_budgets, daily_budgets::table.find(day.0))
        }
        Account::Address(day, digest) | Account::Network(day, digest) => {
            let row = address_budgets::table.find((day.0, digest.0.to_vec()));
            update_account!(connection, change, address_budgets, row)
        }
        Account::Session(id) => {
            update_account!(connection, change, sessions, sessions::table.find(Key(id.0)))
        }
    })
}

/// Creates the row of an account if it does not exist. A session has its own columns. The first
/// account of an address or a network on a day also deletes those of earlier days.
async fn create_account(connection: &mut Connection, account: Account) -> QueryResult<()> {
    match account {
        Account::Day(day) => {
            let row = (
                daily_budgets::day.eq(day.0),
                daily_budgets::tokens.eq(0),
                daily_budgets::cost_nanodollars.eq(0),
            );
            let insert = diesel::insert_into(daily_budgets::table).values(row).on_conflict_do_nothing();
            run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
        }
        Account::Address(day, digest) | Account::Network(day, digest) => {
            let delete = diesel::delete(address_budgets::table.filter(address_budgets::day.lt(day.0)));
            run_statement!(connection, conn => delete.execute(conn).await)?;
            let row = (
                address_budgets::day.eq(day.0),
                address_budgets::address_digest.eq(digest.0.to_vec()),
                address_budgets::tokens.eq(0),
                address_budgets::cost_nanodollars.eq(0),
            );
            let insert = diesel::insert_into(address_budgets::table).values(row).on_conflict_do_nothing();
            run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
        }
        Account::Session(_) => {}
    }
    Ok(())
}

/// Converts tokens or nanodollars to a `BigInt` column. Values are capped far below the maximum of
/// the column, so that the sums of a day cannot overflow it.
pub(crate) fn amount_to_column(amount: u64) -> i64 {
    const MAX: i64 = i64::MAX / 1_000_000;
    i64::try_from(amount).unwrap_or(MAX).min(MAX)
}

/// Converts the columns of an account to an amount.
pub(crate) fn amount_from_columns(tokens: i64, nanodollars: i64) -> Amount {
    Amount {
        tokens: u64::try_from(tokens).unwrap_or(0),
        nanodollars: u64::try_from(nanodollars).unwrap_or(0),
    }
}
