//! Questions become turns: many of them with as many statements as one.
//!
//! PostgreSQL takes the rows of each step at once, as arrays, in a statement whose text does not depend on their number. SQLite is in
//! this process, where a prepared statement for each row is as fast as it gets.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::Prepared;
use crate::persistence::db::models::{Key, NewMessage, NewTurn, stored_count};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::postgres_conn::heard;
use crate::persistence::db::schema::sql_types::Id;
use crate::persistence::db::schema::{messages, sessions, turns};
use crate::persistence::messages::SaveQuestion;
use crate::persistence::queries::budget;
use crate::persistence::records::{Reserve, Written};

const TOUCH: &str = "UPDATE sessions SET last_seen_at_ms = asked.at_ms \
     FROM unnest($1, $2, $3) AS asked (session_id, epoch, at_ms) \
     WHERE sessions.id = asked.session_id AND sessions.epoch = asked.epoch RETURNING sessions.id";

const OPEN: &str = "INSERT INTO turns \
     (id, session_id, client_id, status, asked_at_ms, answered_by, regenerates) \
     SELECT asked.id, asked.session_id, asked.client_id, $7, asked.at_ms, asked.answered_by, asked.regenerates \
     FROM unnest($1, $2, $3, $4, $5, $6) \
     AS asked (id, session_id, client_id, at_ms, answered_by, regenerates) \
     ON CONFLICT DO NOTHING RETURNING id";

const SAY: &str = "INSERT INTO messages (turn_id, role, content, tokens, created_at_ms) \
     SELECT asked.turn_id, $5, asked.content, asked.tokens, asked.at_ms \
     FROM unnest($1, $2, $3, $4) AS asked (turn_id, content, tokens, at_ms)";

/// A question on its way into the store.
struct Asked<'a> {
    question: &'a SaveQuestion,
    /// Its asker still waits, so that a ceiling may refuse it.
    refusable: bool,
    /// What it came to, once it is known not to become a turn.
    verdict: Option<Written>,
}

impl Asked<'_> {
    fn turn(&self) -> Key {
        Key(self.question.turn_id.0)
    }

    fn session(&self) -> Key {
        Key(self.question.session_id.0)
    }
}

/// Opens a turn for each question, if its connection still owns the session and, while it is refusable, its accounts have room for its
/// answer. A session may be named only once. The same write may be tried twice.
pub(crate) async fn save(
    connection: &mut Connection,
    them: impl Iterator<Item = (&SaveQuestion, bool)>,
) -> QueryResult<Vec<Written>> {
    let mut asked: Vec<Asked<'_>> =
        them.map(|(question, refusable)| Asked { question, refusable, verdict: None }).collect();
    let owned = touch(connection, &asked).await?;
    for it in asked.iter_mut().filter(|it| !owned.contains(&it.session())) {
        // Tried again after a commit of which nobody heard, it may find itself, and a later connection too.
        it.verdict = Some(stored_or(connection, it, Written::Superseded).await?);
    }
    let opened = open(connection, &wanted(&asked)).await?;
    for it in asked.iter_mut().filter(|it| it.verdict.is_none() && !opened.contains(&it.turn())) {
        it.verdict = Some(stored_or(connection, it, Written::Duplicate).await?);
    }
    set_aside(connection, &mut asked).await?;
    say(connection, &wanted(&asked)).await?;
    for it in wanted(&asked) {
        supersede(connection, it).await?;
    }
    Ok(asked.into_iter().map(|it| it.verdict.unwrap_or(Written::Done)).collect())
}

/// Those that are to become turns, as far as it is known.
fn wanted<'a, 'b>(asked: &'b [Asked<'a>]) -> Vec<&'b Asked<'a>> {
    asked.iter().filter(|it| it.verdict.is_none()).collect()
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Id)]
    id: Key,
}

fn named(rows: Vec<Named>) -> HashSet<Key> {
    rows.into_iter().map(|row| row.id).collect()
}

/// Notes that the sessions were seen; those that still belong to their connection are returned.
async fn touch(connection: &mut Connection, asked: &[Asked<'_>]) -> QueryResult<HashSet<Key>> {
    match connection {
        Connection::Postgres(pooled) => {
            let touch = sql_query(TOUCH)
                .bind::<Array<Id>, _>(asked.iter().map(Asked::session).collect::<Vec<_>>())
                .bind::<Array<BigInt>, _>(asked.iter().map(|it| it.question.epoch).collect::<Vec<_>>())
                .bind::<Array<BigInt>, _>(asked.iter().map(|it| it.question.asked_at.0).collect::<Vec<_>>());
            Ok(named(heard!(pooled, link => Prepared(touch).load(link).await)?))
        }
        Connection::Sqlite(link) => {
            let mut owned = HashSet::with_capacity(asked.len());
            for it in asked {
                let session = sessions::table
                    .filter(sessions::id.eq(it.session()))
                    .filter(sessions::epoch.eq(it.question.epoch));
                let touch = diesel::update(session).set(sessions::last_seen_at_ms.eq(it.question.asked_at.0));
                if Prepared(touch).execute(&mut **link).await? > 0 {
                    owned.insert(it.session());
                }
            }
            Ok(owned)
        }
    }
}

/// Opens turns; those that were not there are returned.
async fn open(connection: &mut Connection, asked: &[&Asked<'_>]) -> QueryResult<HashSet<Key>> {
    let questions = || asked.iter().map(|it| it.question);
    let regenerates = |it: &SaveQuestion| it.regenerates.map(|earlier| Key(earlier.0));
    match connection {
        Connection::Postgres(pooled) => {
            let open = sql_query(OPEN)
                .bind::<Array<Id>, _>(asked.iter().map(|it| it.turn()).collect::<Vec<_>>())
                .bind::<Array<Id>, _>(asked.iter().map(|it| it.session()).collect::<Vec<_>>())
                .bind::<Array<Nullable<Text>>, _>(
                    questions().map(|it| it.client_id.as_deref()).collect::<Vec<_>>(),
                )
                .bind::<Array<BigInt>, _>(questions().map(|it| it.asked_at.0).collect::<Vec<_>>())
                .bind::<Array<Text>, _>(questions().map(|it| &*it.answered_by).collect::<Vec<_>>())
                .bind::<Array<Nullable<Id>>, _>(questions().map(regenerates).collect::<Vec<_>>())
                .bind::<Text, _>(TurnStatus::Answering.as_str());
            Ok(named(heard!(pooled, link => Prepared(open).load(link).await)?))
        }
        Connection::Sqlite(link) => {
            let mut opened = HashSet::with_capacity(asked.len());
            for it in asked {
                let turn = NewTurn {
                    id: it.turn(),
                    session_id: it.session(),
                    client_id: it.question.client_id.as_deref(),
                    status: TurnStatus::Answering.as_str(),
                    asked_at_ms: it.question.asked_at.0,
                    answered_by: &it.question.answered_by,
                    regenerates: regenerates(it.question),
                };
                let open = diesel::insert_into(turns::table).values(turn).on_conflict_do_nothing();
                if Prepared(open).execute(&mut **link).await? > 0 {
                    opened.insert(it.turn());
                }
            }
            Ok(opened)
        }
    }
}

/// What comes of a question that could not become a turn: perhaps it is one since an earlier try.
async fn stored_or(connection: &mut Connection, it: &Asked<'_>, otherwise: Written) -> QueryResult<Written> {
    let same = turns::table.find(it.turn()).count();
    let stored: i64 = on_either!(connection, link => same.get_result(link).await)?;
    Ok(if stored == 0 { otherwise } else { Written::Done })
}

/// Sets aside what the answers may take. A question whose accounts have no room for that is taken back.
async fn set_aside(connection: &mut Connection, asked: &mut [Asked<'_>]) -> QueryResult<()> {
    let reserving = || asked.iter().filter(|it| it.verdict.is_none() && it.question.reserve.is_some());
    let reserves: Vec<&Reserve> = reserving().filter_map(|it| it.question.reserve.as_deref()).collect();
    if reserves.is_empty()
        || (reserving().all(|it| it.refusable) && budget::set_aside_together(connection, &reserves).await?)
    {
        return Ok(());
    }
    for it in asked.iter_mut().filter(|it| it.verdict.is_none()) {
        if let Some(reserve) = &it.question.reserve
            && let Some(scope) = budget::set_aside(connection, reserve, it.refusable).await?
        {
            let undo = diesel::delete(turns::table.find(it.turn()));
            on_either!(connection, link => Prepared(undo).execute(link).await)?;
            it.verdict = Some(Written::CeilingReached(scope));
        }
    }
    Ok(())
}

/// Stores the questions' texts.
async fn say(connection: &mut Connection, asked: &[&Asked<'_>]) -> QueryResult<()> {
    let questions = || asked.iter().map(|it| it.question);
    match connection {
        Connection::Postgres(pooled) => {
            let say = sql_query(SAY)
                .bind::<Array<Id>, _>(asked.iter().map(|it| it.turn()).collect::<Vec<_>>())
                .bind::<Array<Text>, _>(questions().map(|it| &*it.question).collect::<Vec<_>>())
                .bind::<Array<Integer>, _>(questions().map(|it| stored_count(it.tokens)).collect::<Vec<_>>())
                .bind::<Array<BigInt>, _>(questions().map(|it| it.asked_at.0).collect::<Vec<_>>())
                .bind::<Text, _>(Role::User.as_str());
            heard!(pooled, link => Prepared(say).execute(link).await)?;
        }
        Connection::Sqlite(link) => {
            for it in asked {
                let message = NewMessage {
                    turn_id: it.turn(),
                    role: Role::User.as_str(),
                    content: &it.question.question,
                    tokens: stored_count(it.question.tokens),
                    created_at_ms: it.question.asked_at.0,
                    delta_lengths: None,
                    citations: None,
                };
                let say = diesel::insert_into(messages::table).values(message);
                Prepared(say).execute(&mut **link).await?;
            }
        }
    }
    Ok(())
}

/// The turn takes the place of the one that it regenerates.
async fn supersede(connection: &mut Connection, it: &Asked<'_>) -> QueryResult<()> {
    let Some(earlier) = it.question.regenerates else { return Ok(()) };
    let earlier =
        turns::table.filter(turns::id.eq(Key(earlier.0))).filter(turns::session_id.eq(it.session()));
    let supersede = diesel::update(earlier).set(turns::superseded_by.eq(it.turn()));
    on_either!(connection, link => Prepared(supersede).execute(link).await)?;
    Ok(())
}
