//! Stores answers and marks interrupted turns.

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;

use crate::domain::delta_offsets::DeltaOffsets;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::{Key, NewMessage, cost_to_column, count_to_column};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{messages, turns};
use crate::persistence::messages::MarkInterrupted;
use crate::persistence::queries::{budget, pending_costs};
use crate::persistence::records::{AnswerRecord, WriteOutcome};

/// Stores an answer or a checkpoint, and the settlement and pending costs that come with the end of
/// a turn. A finished answer is never overwritten.
pub(crate) async fn save_answer(
    connection: &mut Connection,
    record: &AnswerRecord,
) -> QueryResult<WriteOutcome> {
    if !update_turn(connection, record).await? {
        return check_already_saved(connection, record).await;
    }
    if let Some(settlement) = &record.settlement {
        budget::settle(connection, settlement).await?;
    }
    pending_costs::insert(connection, &record.pending_costs).await?;
    upsert_answer(connection, record).await?;
    Ok(WriteOutcome::Done)
}

/// Updates a turn whose answer is unfinished. Returns whether there is one.
async fn update_turn(connection: &mut Connection, record: &AnswerRecord) -> QueryResult<bool> {
    let is_finished = record.status != TurnStatus::Answering;
    let unfinished = turns::table
        .filter(turns::id.eq(Key(record.turn_id.0)))
        .filter(turns::status.eq(TurnStatus::Answering.as_str()));
    let update = diesel::update(unfinished).set((
        turns::status.eq(record.status.as_str()),
        turns::mode.eq(record.mode.as_str()),
        turns::model.eq(record.model.as_deref()),
        turns::prompt_tokens.eq(count_to_column(record.usage.prompt_tokens)),
        turns::completion_tokens.eq(count_to_column(record.usage.completion_tokens)),
        turns::cost_nanodollars.eq(record.usage.cost.map(cost_to_column)),
        turns::estimated_requests.eq(count_to_column(record.usage.estimated_requests)),
        turns::ended_at_ms.eq(is_finished.then_some(record.at.0)),
        turns::failure.eq(record.failure.map(ErrorCode::as_str)),
    ));
    Ok(run_statement!(connection, conn => AlwaysPrepared(update).execute(conn).await)? > 0)
}

/// Detects a retry of a write that was committed although its confirmation was lost.
async fn check_already_saved(
    connection: &mut Connection,
    record: &AnswerRecord,
) -> QueryResult<WriteOutcome> {
    let same = turns::table
        .filter(turns::id.eq(Key(record.turn_id.0)))
        .filter(turns::status.eq(record.status.as_str()))
        .filter(turns::ended_at_ms.eq(record.at.0))
        .count();
    let count: i64 = run_statement!(connection, conn => same.get_result(conn).await)?;
    Ok(if count == 0 { WriteOutcome::NotFound } else { WriteOutcome::Done })
}

async fn upsert_answer(connection: &mut Connection, record: &AnswerRecord) -> QueryResult<()> {
    let citations =
        (!record.citations.is_empty()).then(|| serde_json::to_string(&record.citations)).transpose();
    let citations = citations.map_err(|error| DieselError::SerializationError(error.into()))?;
    let delta_lengths = record.delta_offsets.as_ref().map(DeltaOffsets::as_bytes);
    let message = NewMessage {
        turn_id: Key(record.turn_id.0),
        role: Role::Assistant.as_str(),
        content: &record.answer,
        tokens: count_to_column(record.tokens),
        saved_at_ms: record.at.0,
        delta_lengths,
        citations: citations.as_deref(),
    };
    let upsert = diesel::insert_into(messages::table)
        .values(message)
        .on_conflict((messages::turn_id, messages::role))
        .do_update()
        .set((
            messages::content.eq(&*record.answer),
            messages::tokens.eq(count_to_column(record.tokens)),
            messages::saved_at_ms.eq(record.at.0),
            messages::delta_lengths.eq(delta_lengths),
            messages::citations.eq(citations.as_deref()),
        ));
    run_statement!(connection, conn => AlwaysPrepared(upsert).execute(conn).await)?;
    Ok(())
}

/// Marks an unfinished turn as interrupted, unless it was written to after the given heartbeat.
pub(crate) async fn mark_interrupted(
    connection: &mut Connection,
    mark: &MarkInterrupted,
) -> QueryResult<WriteOutcome> {
    let later_heartbeats = messages::table
        .filter(messages::turn_id.eq(Key(mark.turn_id.0)))
        .filter(messages::saved_at_ms.gt(mark.last_heartbeat.0));
    let unfinished = turns::table
        .filter(turns::id.eq(Key(mark.turn_id.0)))
        .filter(turns::status.eq(TurnStatus::Answering.as_str()))
        .filter(not(exists(later_heartbeats)));
    let update = diesel::update(unfinished)
        .set((turns::status.eq(TurnStatus::Interrupted.as_str()), turns::ended_at_ms.eq(mark.at.0)));
    run_statement!(connection, conn => AlwaysPrepared(update).execute(conn).await)?;
    Ok(WriteOutcome::Done)
}
