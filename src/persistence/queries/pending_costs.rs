//! Costs that the model's server has still to tell: what is counted for a request until then, and the correction after.
//!
//! A row is written with the answer whose request it names, and leaves in the transaction that corrects the account: that it was
//! there to be deleted is the proof that nobody has corrected it before. It depends on no turn, because what was paid stays paid,
//! and it holds nothing of what was said.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::budget::{Account, AddressDigest, Amount, Day, TrueCost};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::db::cached_statement::Prepared;
use crate::persistence::db::models::{Key, stored_cost, stored_count};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{owed_costs, turns};
use crate::persistence::messages::{ChangeOwedCost, FindOwedCosts};
use crate::persistence::queries::budget;
use crate::persistence::records::{Attempt, OwedChange, OwedCost, OwedCosts, Settle, Written};

#[derive(Insertable)]
#[diesel(table_name = owed_costs)]
struct NewOwedCost<'a> {
    turn_id: Key,
    source_id: &'a str,
    attempt: &'a str,
    day: i32,
    session_id: Option<Key>,
    address: Option<Vec<u8>>,
    tokens: i64,
    cost_nanodollars: i64,
    counted_by: &'a str,
    counted_at_ms: i64,
    tries: i32,
    due_at_ms: i64,
}

#[derive(Queryable)]
struct OwedCostRow {
    turn_id: Key,
    source_id: String,
    attempt: String,
    day: i32,
    session_id: Option<Key>,
    address: Option<Vec<u8>>,
    tokens: i64,
    cost_nanodollars: i64,
    counted_by: String,
    counted_at_ms: i64,
    tries: i32,
    due_at_ms: i64,
}

impl OwedCostRow {
    fn into_owed(self) -> OwedCost {
        OwedCost {
            turn_id: TurnId(self.turn_id.0),
            source_id: self.source_id.into(),
            attempt: Attempt::from_name(&self.attempt),
            accounts: accounts(self.day, self.session_id, self.address),
            counted: amount(self.tokens, self.cost_nanodollars),
            counted_by: self.counted_by.into(),
            counted_at: Timestamp(self.counted_at_ms),
            tries: u32::try_from(self.tries).unwrap_or(0),
            due_at: Timestamp(self.due_at_ms),
        }
    }
}

fn amount(tokens: i64, nanodollars: i64) -> Amount {
    Amount {
        tokens: u64::try_from(tokens).unwrap_or(0),
        nanodollars: u64::try_from(nanodollars).unwrap_or(0),
    }
}

fn accounts(day: i32, session_id: Option<Key>, address: Option<Vec<u8>>) -> Vec<Account> {
    let day = Day(day);
    let address = address.and_then(|bytes| Some(AddressDigest(bytes.try_into().ok()?)));
    let address = address.map(|digest| Account::Address(day, digest));
    let session = session_id.map(|id| Account::Session(SessionId(id.0)));
    std::iter::once(Account::Day(day)).chain(address).chain(session).collect()
}

/// Adds what is owed for the requests of a turn, with its end.
pub(crate) async fn add(connection: &mut Connection, owed: &[OwedCost]) -> QueryResult<()> {
    for it in owed {
        let (mut day, mut session_id, mut address) = (0, None, None);
        for account in &it.accounts {
            match account {
                Account::Day(of) => day = of.0,
                Account::Address(_, digest) => address = Some(digest.0.to_vec()),
                Account::Session(id) => session_id = Some(Key(id.0)),
            }
        }
        let row = NewOwedCost {
            turn_id: Key(it.turn_id.0),
            source_id: &it.source_id,
            attempt: it.attempt.as_str(),
            day,
            session_id,
            address,
            tokens: budget::stored(it.counted.tokens),
            cost_nanodollars: budget::stored(it.counted.nanodollars),
            counted_by: &it.counted_by,
            counted_at_ms: it.counted_at.0,
            tries: stored_count(it.tries),
            due_at_ms: it.due_at.0,
        };
        // A server that gives two requests one name is asked about it once.
        let insert = diesel::insert_into(owed_costs::table).values(row).on_conflict_do_nothing();
        on_either!(connection, link => Prepared(insert).execute(link).await)?;
    }
    Ok(())
}

/// What is due, and what is too much.
pub(crate) async fn find(connection: &mut Connection, it: &FindOwedCosts) -> QueryResult<OwedCosts> {
    let count = owed_costs::table.count();
    let count: i64 = on_either!(connection, link => count.get_result(link).await)?;
    let in_all = u64::try_from(count).unwrap_or(0);
    let most = i64::try_from(it.most_due).unwrap_or(i64::MAX);
    let first = owed_costs::table.order(owed_costs::due_at_ms.asc()).limit(most);
    let first: Vec<OwedCostRow> = on_either!(connection, link => first.load(link).await)?;
    let (due, later): (Vec<_>, Vec<_>) =
        first.into_iter().map(OwedCostRow::into_owed).partition(|owed| owed.due_at <= it.now);
    let too_many = i64::try_from(in_all.saturating_sub(it.most_kept)).unwrap_or(i64::MAX).min(most);
    let surplus: Vec<OwedCostRow> = if too_many > 0 {
        let oldest = owed_costs::table.order(owed_costs::counted_at_ms.asc()).limit(too_many);
        on_either!(connection, link => oldest.load(link).await)?
    } else {
        Vec::new()
    };
    Ok(OwedCosts {
        due,
        next_due: later.as_slice().first().map(|owed| owed.due_at),
        surplus: surplus.into_iter().map(OwedCostRow::into_owed).collect(),
        in_all,
    })
}

/// The same write may be tried twice: the second time it finds nothing to change.
pub(crate) async fn change(connection: &mut Connection, it: &ChangeOwedCost) -> QueryResult<Written> {
    let owed = owed_costs::table.find((Key(it.turn_id.0), &*it.source_id));
    let done = match it.change {
        OwedChange::PutOff { found, tries, due_at } => {
            let unchanged = owed.filter(owed_costs::tries.eq(stored_count(found)));
            let put_off = diesel::update(unchanged)
                .set((owed_costs::tries.eq(stored_count(tries)), owed_costs::due_at_ms.eq(due_at.0)));
            on_either!(connection, link => put_off.execute(link).await)? > 0
        }
        OwedChange::GiveUp => {
            let give_up = diesel::delete(owed);
            on_either!(connection, link => give_up.execute(link).await)? > 0
        }
        OwedChange::Correct(cost) => correct(connection, it, cost).await?,
    };
    Ok(if done { Written::Done } else { Written::NotFound })
}

async fn correct(connection: &mut Connection, it: &ChangeOwedCost, cost: TrueCost) -> QueryResult<bool> {
    let take = diesel::delete(owed_costs::table.find((Key(it.turn_id.0), &*it.source_id))).returning((
        owed_costs::attempt,
        owed_costs::day,
        owed_costs::session_id,
        owed_costs::address,
        owed_costs::tokens,
        owed_costs::cost_nanodollars,
    ));
    type Taken = (String, i32, Option<Key>, Option<Vec<u8>>, i64, i64);
    let taken: Vec<Taken> = on_either!(connection, link => take.get_results(link).await)?;
    let Some((attempt, day, session_id, address, tokens, nanodollars)) = taken.into_iter().next() else {
        return Ok(false);
    };
    let counted = amount(tokens, nanodollars);
    let accounts = accounts(day, session_id, address);
    let settle = Settle { accounts, set_aside: counted, taken: cost.amount(counted) };
    budget::settle(connection, &settle).await?;
    if Attempt::from_name(&attempt) == Attempt::Answer {
        let turn = || turns::table.filter(turns::id.eq(Key(it.turn_id.0)));
        let known = diesel::update(turn()).set(turns::cost_nanodollars.eq(stored_cost(cost.dollars)));
        on_either!(connection, link => known.execute(link).await)?;
        if let Some((prompt, completion)) = cost.tokens {
            let known = diesel::update(turn()).set((
                turns::prompt_tokens.eq(stored_count(prompt)),
                turns::completion_tokens.eq(stored_count(completion)),
            ));
            on_either!(connection, link => known.execute(link).await)?;
        }
    }
    Ok(true)
}
