//! Stores questions and opens their turns, with a constant number of statements for a whole batch.
//!
//! On PostgreSQL each step inserts all rows with one statement, whose parameters are arrays, so
//! that its text does not depend on the number of rows. SQLite runs in this process, where a
//! prepared statement for each row is just as fast.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::{Key, NewMessage, NewTurn, count_to_column};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::postgres_conn::run_pg_statement;
use crate::persistence::db::schema::sql_types::Id;
use crate::persistence::db::schema::{messages, sessions, turns};
use crate::persistence::messages::SaveQuestion;
use crate::persistence::queries::budget;
use crate::persistence::queries::budget::LimitCheck;
use crate::persistence::records::{BudgetReservation, WriteOutcome};

const TOUCH_SESSIONS: &str = "UPDATE sessions SET last_seen_at_ms = asked.at_ms \
     FROM unnest($1, $2, $3) AS asked (session_id, epoch, at_ms) \
     WHERE sessions.id = asked.session_id AND sessions.epoch = asked.epoch RETURNING sessions.id";

const INSERT_TURNS: &str = "INSERT INTO turns \
     (id, session_id, client_id, status, asked_at_ms, answered_by, regenerates) \
     SELECT asked.id, asked.session_id, asked.client_id, $7, asked.at_ms, asked.answered_by, asked.regenerates \
     FROM unnest($1, $2, $3, $4, $5, $6) \
     AS asked (id, session_id, client_id, at_ms, answered_by, regenerates) \
     ON CONFLICT DO NOTHING RETURNING id";

const INSERT_MESSAGES: &str = "INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms) \
     SELECT asked.turn_id, $5, asked.content, asked.tokens, asked.at_ms \
     FROM unnest($1, $2, $3, $4) AS asked (turn_id, content, tokens, at_ms)";

/// A question to store.
pub(crate) struct QuestionToSave<'a> {
    pub(crate) question: &'a SaveQuestion,
    /// The caller still waits, so a budget limit may refuse the question.
    pub(crate) may_be_refused: bool,
}

/// A question while it is being stored.
struct Candidate<'a> {
    question: &'a SaveQuestion,
    check: LimitCheck,
    /// Set when the question does not become a new turn.
    outcome: Option<WriteOutcome>,
}

impl<'a> Candidate<'a> {
    fn new(to_save: QuestionToSave<'a>) -> Self {
        let check = if to_save.may_be_refused { LimitCheck::Enforce } else { LimitCheck::Skip };
        Self { question: to_save.question, check, outcome: None }
    }

    fn turn_key(&self) -> Key {
        Key(self.question.turn_id.0)
    }

    fn session_key(&self) -> Key {
        Key(self.question.session_id.0)
    }

    fn regenerates_key(&self) -> Option<Key> {
        self.question.regenerates.map(|earlier| Key(earlier.0))
    }
}

/// Opens a turn for each question if its connection still owns the session and its accounts have
/// room for the answer. Each session may occur only once. Idempotent.
pub(crate) async fn save(
    connection: &mut Connection,
    questions: impl Iterator<Item = QuestionToSave<'_>>,
) -> QueryResult<Vec<WriteOutcome>> {
    let mut candidates: Vec<Candidate<'_>> = questions.map(Candidate::new).collect();
    let owned = touch_sessions(connection, &candidates).await?;
    for candidate in candidates.iter_mut().filter(|candidate| !owned.contains(&candidate.session_key())) {
        // If an earlier commit succeeded but the reply was lost, the turn already exists; a later
        // connection may also own the session by now.
        candidate.outcome = Some(done_if_stored(connection, candidate, WriteOutcome::Superseded).await?);
    }
    let inserted = insert_turns(connection, &open(&candidates)).await?;
    for candidate in candidates
        .iter_mut()
        .filter(|candidate| candidate.outcome.is_none() && !inserted.contains(&candidate.turn_key()))
    {
        candidate.outcome = Some(done_if_stored(connection, candidate, WriteOutcome::Duplicate).await?);
    }
    reserve_budgets(connection, &mut candidates).await?;
    insert_messages(connection, &open(&candidates)).await?;
    for candidate in open(&candidates) {
        mark_superseded(connection, candidate).await?;
    }
    let outcomes = candidates.into_iter().map(|candidate| candidate.outcome.unwrap_or(WriteOutcome::Done));
    Ok(outcomes.collect())
}

/// Returns the candidates that can still become turns.
fn open<'a, 'b>(candidates: &'b [Candidate<'a>]) -> Vec<&'b Candidate<'a>> {
    candidates.iter().filter(|candidate| candidate.outcome.is_none()).collect()
}

#[derive(QueryableByName)]
struct ReturnedId {
    #[diesel(sql_type = Id)]
    id: Key,
}

fn id_set(rows: Vec<ReturnedId>) -> HashSet<Key> {
    rows.into_iter().map(|row| row.id).collect()
}

/// Sets the time at which the sessions were last seen. Returns those that the connection still
/// owns.
async fn touch_sessions(
    connection: &mut Connection,
    candidates: &[Candidate<'_>],
) -> QueryResult<HashSet<Key>> {
    let questions = || candidates.iter().map(|candidate| candidate.question);
    match connection {
        Connection::Postgres(pooled) => {
            let session_keys: Vec<Key> = candidates.iter().map(Candidate::session_key).collect();
            let update = sql_query(TOUCH_SESSIONS)
                .bind::<Array<Id>, _>(session_keys)
                .bind::<Array<BigInt>, _>(questions().map(|question| question.epoch).collect::<Vec<_>>())
                .bind::<Array<BigInt>, _>(
                    questions().map(|question| question.asked_at.0).collect::<Vec<_>>(),
                );
            Ok(id_set(run_pg_statement!(pooled, conn => AlwaysPrepared(update).load(conn).await)?))
        }
        Connection::Sqlite(conn) => {
            let mut owned = HashSet::with_capacity(candidates.len());
            for candidate in candidates {
                let session = sessions::table
                    .filter(sessions::id.eq(candidate.session_key()))
                    .filter(sessions::epoch.eq(candidate.question.epoch));
                let update =
                    diesel::update(session).set(sessions::last_seen_at_ms.eq(candidate.question.asked_at.0));
                if AlwaysPrepared(update).execute(&mut **conn).await? > 0 {
                    owned.insert(candidate.session_key());
                }
            }
            Ok(owned)
        }
    }
}

/// Inserts turns. Returns those that did not exist before.
async fn insert_turns(
    connection: &mut Connection,
    candidates: &[&Candidate<'_>],
) -> QueryResult<HashSet<Key>> {
    let questions = || candidates.iter().map(|candidate| candidate.question);
    match connection {
        Connection::Postgres(pooled) => {
            let turn_keys: Vec<Key> = candidates.iter().map(|candidate| candidate.turn_key()).collect();
            let session_keys: Vec<Key> = candidates.iter().map(|candidate| candidate.session_key()).collect();
            let client_ids: Vec<Option<&str>> =
                questions().map(|question| question.client_id.as_deref()).collect();
            let regenerated: Vec<Option<Key>> =
                candidates.iter().map(|candidate| candidate.regenerates_key()).collect();
            let insert = sql_query(INSERT_TURNS)
                .bind::<Array<Id>, _>(turn_keys)
                .bind::<Array<Id>, _>(session_keys)
                .bind::<Array<Nullable<Text>>, _>(client_ids)
                .bind::<Array<BigInt>, _>(questions().map(|question| question.asked_at.0).collect::<Vec<_>>())
                .bind::<Array<Text>, _>(
                    questions().map(|question| &*question.answered_by).collect::<Vec<_>>(),
                )
                .bind::<Array<Nullable<Id>>, _>(regenerated)
                .bind::<Text, _>(TurnStatus::Answering.as_str());
            Ok(id_set(run_pg_statement!(pooled, conn => AlwaysPrepared(insert).load(conn).await)?))
        }
        Connection::Sqlite(conn) => {
            let mut inserted = HashSet::with_capacity(candidates.len());
            for candidate in candidates {
                let turn = NewTurn {
                    id: candidate.turn_key(),
                    session_id: candidate.session_key(),
                    client_id: candidate.question.client_id.as_deref(),
                    status: TurnStatus::Answering.as_str(),
                    asked_at_ms: candidate.question.asked_at.0,
                    answered_by: &candidate.question.answered_by,
                    regenerates: candidate.regenerates_key(),
                };
                let insert = diesel::insert_into(turns::table).values(turn).on_conflict_do_nothing();
                if AlwaysPrepared(insert).execute(&mut **conn).await? > 0 {
                    inserted.insert(candidate.turn_key());
                }
            }
            Ok(inserted)
        }
    }
}

/// Returns `Done` if an earlier attempt has stored the turn, and `otherwise` if not.
async fn done_if_stored(
    connection: &mut Connection,
    candidate: &Candidate<'_>,
    otherwise: WriteOutcome,
) -> QueryResult<WriteOutcome> {
    let same = turns::table.find(candidate.turn_key()).count();
    let count: i64 = run_statement!(connection, conn => same.get_result(conn).await)?;
    Ok(if count == 0 { otherwise } else { WriteOutcome::Done })
}

/// Reserves the budgets of the answers, and deletes the turns of refused questions. Tries all
/// reservations together first.
async fn reserve_budgets(connection: &mut Connection, candidates: &mut [Candidate<'_>]) -> QueryResult<()> {
    let reserving = || {
        candidates
            .iter()
            .filter(|candidate| candidate.outcome.is_none() && candidate.question.reservation.is_some())
    };
    let reservations: Vec<&BudgetReservation> =
        reserving().filter_map(|candidate| candidate.question.reservation.as_deref()).collect();
    if reservations.is_empty()
        || (reserving().all(|candidate| candidate.check == LimitCheck::Enforce)
            && budget::reserve_together(connection, &reservations).await?)
    {
        return Ok(());
    }
    for candidate in candidates.iter_mut().filter(|candidate| candidate.outcome.is_none()) {
        if let Some(reservation) = &candidate.question.reservation
            && let Some(scope) = budget::reserve(connection, reservation, candidate.check).await?
        {
            let delete = diesel::delete(turns::table.find(candidate.turn_key()));
            run_statement!(connection, conn => AlwaysPrepared(delete).execute(conn).await)?;
            candidate.outcome = Some(WriteOutcome::BudgetExceeded(scope));
        }
    }
    Ok(())
}

/// Inserts the texts of the questions.
async fn insert_messages(connection: &mut Connection, candidates: &[&Candidate<'_>]) -> QueryResult<()> {
    let questions = || candidates.iter().map(|candidate| candidate.question);
    match connection {
        Connection::Postgres(pooled) => {
            let turn_keys: Vec<Key> = candidates.iter().map(|candidate| candidate.turn_key()).collect();
            let tokens: Vec<i32> = questions().map(|question| count_to_column(question.tokens)).collect();
            let insert = sql_query(INSERT_MESSAGES)
                .bind::<Array<Id>, _>(turn_keys)
                .bind::<Array<Text>, _>(questions().map(|question| &*question.question).collect::<Vec<_>>())
                .bind::<Array<Integer>, _>(tokens)
                .bind::<Array<BigInt>, _>(questions().map(|question| question.asked_at.0).collect::<Vec<_>>())
                .bind::<Text, _>(Role::User.as_str());
            run_pg_statement!(pooled, conn => AlwaysPrepared(insert).execute(conn).await)?;
        }
        Connection::Sqlite(conn) => {
            for candidate in candidates {
                let message = NewMessage {
                    turn_id: candidate.turn_key(),
                    role: Role::User.as_str(),
                    content: &candidate.question.question,
                    tokens: count_to_column(candidate.question.tokens),
                    saved_at_ms: candidate.question.asked_at.0,
                    delta_lengths: None,
                    citations: None,
                };
                let insert = diesel::insert_into(messages::table).values(message);
                AlwaysPrepared(insert).execute(&mut **conn).await?;
            }
        }
    }
    Ok(())
}

/// Marks the turn that the new turn regenerates as superseded.
async fn mark_superseded(connection: &mut Connection, candidate: &Candidate<'_>) -> QueryResult<()> {
    let Some(earlier) = candidate.regenerates_key() else { return Ok(()) };
    let earlier =
        turns::table.filter(turns::id.eq(earlier)).filter(turns::session_id.eq(candidate.session_key()));
    let update = diesel::update(earlier).set(turns::superseded_by.eq(candidate.turn_key()));
    run_statement!(connection, conn => AlwaysPrepared(update).execute(conn).await)?;
    Ok(())
}
