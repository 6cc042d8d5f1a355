//! The accounts in the store: the same two steps as in memory, within the transactions of question and answer.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::budget::{Account, Amount, Budget, Ceilings, Scope};
use crate::persistence::db::cached_statement::Prepared;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{address_spending, sessions, spending};
use crate::persistence::records::{Reserve, Settle};

/// What is added to an account, and the most that may be in it before.
#[derive(Clone, Copy)]
struct Change {
    tokens: i64,
    nanodollars: i64,
    most_tokens: i64,
    most_nanodollars: i64,
}

impl Change {
    /// More, if the ceilings hold.
    fn within(ceilings: Ceilings, amount: Amount) -> Self {
        let (tokens, nanodollars) = (stored(amount.tokens), stored(amount.nanodollars));
        let room = |most: Option<u64>, amount: i64| {
            most.map_or(i64::MAX, |most| stored(most).saturating_sub(amount))
        };
        Self {
            tokens,
            nanodollars,
            most_tokens: room(ceilings.tokens, tokens),
            most_nanodollars: room(ceilings.nanodollars, nanodollars),
        }
    }

    /// One amount in place of another, whatever the ceilings.
    fn from_to(before: Amount, after: Amount) -> Self {
        let difference = |before: u64, after: u64| stored(after).saturating_sub(stored(before));
        Self {
            tokens: difference(before.tokens, after.tokens),
            nanodollars: difference(before.nanodollars, after.nanodollars),
            most_tokens: i64::MAX,
            most_nanodollars: i64::MAX,
        }
    }
}

/// The row of an account, by its table and its expression, as a statement that changes it by one step: servers that share the
/// database cannot both take what is left. Says whether it did.
macro_rules! changed {
    ($connection:expr, $change:expr, $table:ident, $row:expr) => {{
        let row = $row
            .filter($table::tokens.le($change.most_tokens))
            .filter($table::cost_nanodollars.le($change.most_nanodollars));
        let change = diesel::update(row).set((
            $table::tokens.eq($table::tokens + $change.tokens),
            $table::cost_nanodollars.eq($table::cost_nanodollars + $change.nanodollars),
        ));
        on_either!($connection, link => Prepared(change).execute(link).await)? > 0
    }};
}

/// Both sums of the row of an account, if there is one.
macro_rules! sums {
    ($connection:expr, $table:ident, $row:expr) => {{
        let sums = $row.select(($table::tokens, $table::cost_nanodollars));
        on_either!($connection, link => sums.first(link).await.optional())?
    }};
}

/// What was taken in accounts, with what is set aside.
pub(crate) async fn load(
    connection: &mut Connection,
    accounts: &[Account],
) -> QueryResult<Vec<(Account, Amount)>> {
    let mut loaded = Vec::with_capacity(accounts.len());
    for account in accounts.iter().copied() {
        let found: Option<(i64, i64)> = match account {
            Account::Day(day) => sums!(connection, spending, spending::table.find(day.0)),
            Account::Address(day, address) => {
                sums!(connection, address_spending, address_spending::table.find((day.0, address.0.to_vec())))
            }
            Account::Session(id) => sums!(connection, sessions, sessions::table.find(Key(id.0))),
        };
        let (tokens, nanodollars) = found.unwrap_or_default();
        let amount = Amount {
            tokens: u64::try_from(tokens).unwrap_or(0),
            nanodollars: u64::try_from(nanodollars).unwrap_or(0),
        };
        loaded.push((account, amount));
    }
    Ok(loaded)
}

/// Sets an amount aside in all of its accounts. While `refusable` it is set aside in none when the ceiling of one would be exceeded:
/// says of which.
pub(crate) async fn set_aside(
    connection: &mut Connection,
    it: &Reserve,
    refusable: bool,
) -> QueryResult<Option<Scope>> {
    let parts: Vec<(Account, Amount)> = it.accounts.iter().map(|account| (*account, it.amount)).collect();
    set_parts_aside(connection, &parts, refusable.then_some(it.budget)).await
}

/// Sets all of them aside, each account once, or none of them when a ceiling would be exceeded: says whether it did. They have the
/// same budget.
pub(crate) async fn set_aside_together(connection: &mut Connection, them: &[&Reserve]) -> QueryResult<bool> {
    let Some(budget) = them.first().map(|it| it.budget) else { return Ok(true) };
    let mut places = HashMap::new();
    let mut parts: Vec<(Account, Amount)> = Vec::new();
    for (account, amount) in
        them.iter().flat_map(|it| it.accounts.iter().map(|account| (*account, it.amount)))
    {
        let place = *places.entry(account).or_insert(parts.len());
        match parts.get_mut(place) {
            Some((_, sum)) => *sum = sum.plus(amount),
            None => parts.push((account, amount)),
        }
    }
    Ok(set_parts_aside(connection, &parts, Some(budget)).await?.is_none())
}

/// Without a budget nothing is too much.
async fn set_parts_aside(
    connection: &mut Connection,
    parts: &[(Account, Amount)],
    budget: Option<Budget>,
) -> QueryResult<Option<Scope>> {
    for (place, (account, amount)) in parts.iter().enumerate() {
        let ceilings = budget.map_or(Ceilings::default(), |budget| budget.of(account.scope()));
        let more = Change::within(ceilings, *amount);
        if change(connection, *account, more).await? {
            continue;
        }
        open(connection, *account).await?;
        if change(connection, *account, more).await? || budget.is_none() {
            continue;
        }
        for (before, amount) in parts.iter().take(place) {
            change(connection, *before, Change::from_to(*amount, Amount::default())).await?;
        }
        return Ok(Some(account.scope()));
    }
    Ok(None)
}

/// Counts what was taken instead of what was set aside. To be done once, with what ends the turn. A deleted session and an address
/// of an earlier day have no account any more.
pub(crate) async fn settle(connection: &mut Connection, it: &Settle) -> QueryResult<()> {
    for account in &it.accounts {
        change(connection, *account, Change::from_to(it.set_aside, it.taken)).await?;
    }
    Ok(())
}

async fn change(connection: &mut Connection, account: Account, it: Change) -> QueryResult<bool> {
    Ok(match account {
        Account::Day(day) => changed!(connection, it, spending, spending::table.find(day.0)),
        Account::Address(day, address) => {
            let row = address_spending::table.find((day.0, address.0.to_vec()));
            changed!(connection, it, address_spending, row)
        }
        Account::Session(id) => changed!(connection, it, sessions, sessions::table.find(Key(id.0))),
    })
}

/// Makes the account, if it is not there; a session has its own. With the first account of an address on a day, those of the days
/// before are deleted.
async fn open(connection: &mut Connection, account: Account) -> QueryResult<()> {
    match account {
        Account::Day(day) => {
            let empty = (spending::day.eq(day.0), spending::tokens.eq(0), spending::cost_nanodollars.eq(0));
            let open = diesel::insert_into(spending::table).values(empty).on_conflict_do_nothing();
            on_either!(connection, link => Prepared(open).execute(link).await)?;
        }
        Account::Address(day, address) => {
            let earlier = diesel::delete(address_spending::table.filter(address_spending::day.lt(day.0)));
            on_either!(connection, link => earlier.execute(link).await)?;
            let empty = (
                address_spending::day.eq(day.0),
                address_spending::address.eq(address.0.to_vec()),
                address_spending::tokens.eq(0),
                address_spending::cost_nanodollars.eq(0),
            );
            let open = diesel::insert_into(address_spending::table).values(empty).on_conflict_do_nothing();
            on_either!(connection, link => Prepared(open).execute(link).await)?;
        }
        Account::Session(_) => {}
    }
    Ok(())
}

/// A count for a `BigInt` column. Far below its end: sums of a day must not overflow it.
pub(crate) fn stored(count: u64) -> i64 {
    const MOST: i64 = i64::MAX / 1_000_000;
    i64::try_from(count).unwrap_or(MOST).min(MOST)
}
