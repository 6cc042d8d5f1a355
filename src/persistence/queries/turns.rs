//! Writing what a session is made of, each query once for both databases.

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;

use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::Prepared;
use crate::persistence::db::models::{Key, NewMessage, NewSession, stored_cost, stored_count};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{messages, sessions, turns};
use crate::persistence::messages::{CreateSession, MarkInterrupted};
use crate::persistence::queries::{budget, pending_costs};
use crate::persistence::records::{AnswerRecord, Written};

/// A query that needs the tables to be there.
pub(crate) async fn ping(connection: &mut Connection) -> QueryResult<()> {
    let nobody = sessions::table.find(Key(uuid::Uuid::nil())).count();
    on_either!(connection, link => nobody.get_result::<i64>(link).await)?;
    Ok(())
}

/// Does nothing when the session is there: the same write may be tried twice.
pub(crate) async fn create_session(connection: &mut Connection, it: &CreateSession) -> QueryResult<Written> {
    let row = NewSession {
        id: Key(it.session_id.0),
        token_hash: &it.token_hash.0,
        epoch: 0,
        created_at_ms: it.at.0,
        last_seen_at_ms: it.at.0,
    };
    let insert = diesel::insert_into(sessions::table).values(row).on_conflict_do_nothing();
    on_either!(connection, link => Prepared(insert).execute(link).await)?;
    Ok(Written::Done)
}

/// Stores an answer over an unfinished one, never over a finished one.
pub(crate) async fn save_answer(connection: &mut Connection, it: &AnswerRecord) -> QueryResult<Written> {
    let finished = it.status != TurnStatus::Answering;
    let unfinished = turns::table
        .filter(turns::id.eq(Key(it.turn_id.0)))
        .filter(turns::status.eq(TurnStatus::Answering.as_str()));
    let update = diesel::update(unfinished).set((
        turns::status.eq(it.status.as_str()),
        turns::mode.eq(it.mode.as_str()),
        turns::model.eq(it.model.as_deref()),
        turns::prompt_tokens.eq(stored_count(it.usage.prompt_tokens)),
        turns::completion_tokens.eq(stored_count(it.usage.completion_tokens)),
        turns::cost_nanodollars.eq(it.usage.cost.map(stored_cost)),
        turns::ended_at_ms.eq(finished.then_some(it.at.0)),
        turns::failure.eq(it.failure.map(ErrorCode::as_str)),
    ));
    if on_either!(connection, link => Prepared(update).execute(link).await)? == 0 {
        // The same write may be tried twice, when nobody knows whether it was committed.
        let same = turns::table
            .filter(turns::id.eq(Key(it.turn_id.0)))
            .filter(turns::status.eq(it.status.as_str()))
            .filter(turns::ended_at_ms.eq(it.at.0))
            .count();
        let stored: i64 = on_either!(connection, link => same.get_result(link).await)?;
        return Ok(if stored == 0 { Written::NotFound } else { Written::Done });
    }
    if let Some(settle) = &it.settle {
        budget::settle(connection, settle).await?;
    }
    pending_costs::add(connection, &it.owed).await?;
    let citations = (!it.citations.is_empty()).then(|| serde_json::to_string(&it.citations)).transpose();
    let citations = citations.map_err(|error| DieselError::SerializationError(error.into()))?;
    let lengths = it.boundaries.as_ref().map(DeltaOffsets::as_bytes);
    let message = NewMessage {
        turn_id: Key(it.turn_id.0),
        role: Role::Assistant.as_str(),
        content: &it.answer,
        tokens: stored_count(it.tokens),
        created_at_ms: it.at.0,
        delta_lengths: lengths,
        citations: citations.as_deref(),
    };
    let insert = diesel::insert_into(messages::table)
        .values(message)
        .on_conflict((messages::turn_id, messages::role))
        .do_update()
        .set((
            messages::content.eq(&*it.answer),
            messages::tokens.eq(stored_count(it.tokens)),
            messages::created_at_ms.eq(it.at.0),
            messages::delta_lengths.eq(lengths),
            messages::citations.eq(citations.as_deref()),
        ));
    on_either!(connection, link => Prepared(insert).execute(link).await)?;
    Ok(Written::Done)
}

pub(crate) async fn mark_interrupted(
    connection: &mut Connection,
    it: &MarkInterrupted,
) -> QueryResult<Written> {
    let later_signs = messages::table
        .filter(messages::turn_id.eq(Key(it.turn_id.0)))
        .filter(messages::created_at_ms.gt(it.last_sign.0));
    let unfinished = turns::table
        .filter(turns::id.eq(Key(it.turn_id.0)))
        .filter(turns::status.eq(TurnStatus::Answering.as_str()))
        .filter(not(exists(later_signs)));
    let update = diesel::update(unfinished)
        .set((turns::status.eq(TurnStatus::Interrupted.as_str()), turns::ended_at_ms.eq(it.at.0)));
    on_either!(connection, link => Prepared(update).execute(link).await)?;
    Ok(Written::Done)
}
