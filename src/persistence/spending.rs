//! The account of each day in the store: the same two steps as in memory, within the transactions of question and answer.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::messages::{Reserve, Settle};
use super::pool::{Connection, on_either};
use super::schema::spending;
use crate::spending::{Amount, Day};

/// What was taken on a day, with what is set aside.
pub(super) async fn load(connection: &mut Connection, day: Day) -> QueryResult<Amount> {
    let account = spending::table.find(day.0).select((spending::tokens, spending::cost_nanodollars));
    let found: Option<(i64, i64)> = on_either!(connection, link => account.first(link).await.optional())?;
    let (tokens, nanodollars) = found.unwrap_or_default();
    Ok(Amount {
        tokens: u64::try_from(tokens).unwrap_or(0),
        nanodollars: u64::try_from(nanodollars).unwrap_or(0),
    })
}

/// Sets an amount aside. Says whether it was; while `refusable` it is not when a ceiling would be exceeded.
pub(super) async fn set_aside(
    connection: &mut Connection,
    it: &Reserve,
    refusable: bool,
) -> QueryResult<bool> {
    if add(connection, it, refusable).await? {
        return Ok(true);
    }
    let first = (spending::day.eq(it.day.0), spending::tokens.eq(0), spending::cost_nanodollars.eq(0));
    let open = diesel::insert_into(spending::table).values(first).on_conflict_do_nothing();
    on_either!(connection, link => open.execute(link).await)?;
    add(connection, it, refusable).await
}

/// One statement, so that servers that share the database cannot both take what is left.
async fn add(connection: &mut Connection, it: &Reserve, refusable: bool) -> QueryResult<bool> {
    let (tokens, cost) = (stored(it.amount.tokens), stored(it.amount.nanodollars));
    let room = |ceiling: Option<u64>, amount: i64| match ceiling.filter(|_| refusable) {
        Some(most) => stored(most).saturating_sub(amount),
        None => i64::MAX,
    };
    let account = spending::table
        .find(it.day.0)
        .filter(spending::tokens.le(room(it.ceilings.tokens, tokens)))
        .filter(spending::cost_nanodollars.le(room(it.ceilings.nanodollars, cost)));
    let add = diesel::update(account).set((
        spending::tokens.eq(spending::tokens + tokens),
        spending::cost_nanodollars.eq(spending::cost_nanodollars + cost),
    ));
    Ok(on_either!(connection, link => add.execute(link).await)? > 0)
}

/// Counts what was taken instead of what was set aside. To be done once, with what ends the turn.
pub(super) async fn settle(connection: &mut Connection, it: &Settle) -> QueryResult<()> {
    let difference = |taken: u64, set_aside: u64| stored(taken).saturating_sub(stored(set_aside));
    let change = diesel::update(spending::table.find(it.day.0)).set((
        spending::tokens.eq(spending::tokens + difference(it.taken.tokens, it.set_aside.tokens)),
        spending::cost_nanodollars
            .eq(spending::cost_nanodollars + difference(it.taken.nanodollars, it.set_aside.nanodollars)),
    ));
    on_either!(connection, link => change.execute(link).await)?;
    Ok(())
}

/// A count for a `BigInt` column. Far below its end: sums of a day must not overflow it.
fn stored(count: u64) -> i64 {
    const MOST: i64 = i64::MAX / 1_000_000;
    i64::try_from(count).unwrap_or(MOST).min(MOST)
}
