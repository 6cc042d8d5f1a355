//! Every query, written once for both databases.

use std::collections::HashMap;

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;

use super::messages::{
    AnswerRecord, CreateSession, Epochs, FindEpochs, FindTurn, LoadHistory, MarkInterrupted, ResumeSession,
    SaveQuestion, StoredTurn, TranscriptPage, TurnKey,
};
use super::models::{
    Key, MESSAGE_COLUMNS, MessageRow, NewMessage, NewSession, NewTurn, TURN_COLUMNS, TurnRow, stored_cost,
    stored_count,
};
use super::pool::{Connection, on_either};
use super::prepared::Prepared;
use super::schema::{messages, sessions, turns};
use super::writer::Written;
use super::{owed_costs, spending};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::llm::boundaries::Boundaries;
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{Role, TurnStatus};

/// Most bytes of text in one page of a transcript. Turns that do not fit are on the next page.
const MAX_PAGE_BYTES: usize = 512 * 1024;

/// A query that needs the tables to be there.
pub(super) async fn ping(connection: &mut Connection) -> QueryResult<()> {
    let nobody = sessions::table.find(Key(uuid::Uuid::nil())).count();
    on_either!(connection, link => nobody.get_result::<i64>(link).await)?;
    Ok(())
}

/// Changes nothing, but fails where a change would: behind a lock, on a database that may only be read.
pub(super) async fn try_writing(connection: &mut Connection) -> QueryResult<()> {
    let nobody = sessions::table.filter(sessions::id.eq(Key(uuid::Uuid::nil())));
    let update = diesel::update(nobody).set(sessions::epoch.eq(sessions::epoch + 1));
    on_either!(connection, link => Prepared(update).execute(link).await)?;
    Ok(())
}

/// Does nothing when the session is there: the same write may be tried twice.
pub(super) async fn create_session(connection: &mut Connection, it: &CreateSession) -> QueryResult<Written> {
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

/// Gives the session to a new connection, unless it is unknown, another's, or too old. What it does for an unknown session is
/// what it does for a wrong token: one query that returns one row, one comparison that takes the same time wherever the two
/// differ.
pub(super) async fn raise_epoch(connection: &mut Connection, it: &ResumeSession) -> QueryResult<Written> {
    let session = sessions::table.find(Key(it.session_id.0));
    let stored = diesel::select((
        session.select(sessions::token_hash).single_value(),
        session.select(sessions::last_seen_at_ms).single_value(),
    ));
    let (hash, last_seen): (Option<Vec<u8>>, Option<i64>) =
        on_either!(connection, link => stored.get_result(link).await)?;
    let (hash, last_seen) = (hash.unwrap_or_default(), last_seen.unwrap_or_default());
    match it.token_hash.is(&hash) {
        false => Ok(Written::NotFound),
        true if last_seen < it.at.minus(it.ttl).0 => Ok(Written::Expired),
        true => {
            let raise = diesel::update(sessions::table.filter(sessions::id.eq(Key(it.session_id.0))))
                .set((sessions::epoch.eq(sessions::epoch + 1), sessions::last_seen_at_ms.eq(it.at.0)))
                .returning(sessions::epoch);
            let epoch = on_either!(connection, link => Prepared(raise).get_result(link).await)?;
            Ok(Written::Epoch(epoch))
        }
    }
}

/// The epochs of those sessions that are there.
pub(super) async fn find_epochs(connection: &mut Connection, it: &FindEpochs) -> QueryResult<Epochs> {
    let wanted = it.sessions.iter().map(|session| Key(session.0));
    let found = sessions::table.filter(sessions::id.eq_any(wanted)).select((sessions::id, sessions::epoch));
    let found: Vec<(Key, i64)> = on_either!(connection, link => found.load(link).await)?;
    Ok(found.into_iter().map(|(id, epoch)| (SessionId(id.0), epoch)).collect())
}

/// Opens a turn, if the connection still owns the session and, while `refusable`, the day has room for its answer. The
/// same write may be tried twice.
pub(super) async fn save_question(
    connection: &mut Connection,
    it: &SaveQuestion,
    refusable: bool,
) -> QueryResult<Written> {
    let owned =
        sessions::table.filter(sessions::id.eq(Key(it.session_id.0))).filter(sessions::epoch.eq(it.epoch));
    let touch = diesel::update(owned).set(sessions::last_seen_at_ms.eq(it.asked_at.0));
    if on_either!(connection, link => Prepared(touch).execute(link).await)? == 0 {
        // Tried again after a commit of which nobody heard, it may find itself, and a later connection too.
        let same = turns::table.find(Key(it.turn_id.0)).count();
        let stored: i64 = on_either!(connection, link => same.get_result(link).await)?;
        return Ok(if stored == 0 { Written::Superseded } else { Written::Done });
    }
    let turn = NewTurn {
        id: Key(it.turn_id.0),
        session_id: Key(it.session_id.0),
        client_id: it.client_id.as_deref(),
        status: TurnStatus::Answering.as_str(),
        asked_at_ms: it.asked_at.0,
        answered_by: &it.answered_by,
        regenerates: it.regenerates.map(|earlier| Key(earlier.0)),
    };
    let open = diesel::insert_into(turns::table).values(turn).on_conflict_do_nothing();
    if on_either!(connection, link => Prepared(open).execute(link).await)? == 0 {
        let same = turns::table.find(Key(it.turn_id.0)).count();
        let stored: i64 = on_either!(connection, link => same.get_result(link).await)?;
        return Ok(if stored == 0 { Written::Duplicate } else { Written::Done });
    }
    if let Some(reserve) = &it.reserve
        && let Some(scope) = spending::set_aside(connection, reserve, refusable).await?
    {
        let undo = diesel::delete(turns::table.find(Key(it.turn_id.0)));
        on_either!(connection, link => Prepared(undo).execute(link).await)?;
        return Ok(Written::CeilingReached(scope));
    }
    let message = NewMessage {
        turn_id: Key(it.turn_id.0),
        role: Role::User.as_str(),
        content: &it.question,
        tokens: stored_count(it.tokens),
        created_at_ms: it.asked_at.0,
        delta_lengths: None,
        citations: None,
    };
    let insert = diesel::insert_into(messages::table).values(message);
    on_either!(connection, link => Prepared(insert).execute(link).await)?;
    if let Some(earlier) = it.regenerates {
        let earlier = turns::table
            .filter(turns::id.eq(Key(earlier.0)))
            .filter(turns::session_id.eq(Key(it.session_id.0)));
        let supersede = diesel::update(earlier).set(turns::superseded_by.eq(Key(it.turn_id.0)));
        on_either!(connection, link => Prepared(supersede).execute(link).await)?;
    }
    Ok(Written::Done)
}

/// Stores an answer over an unfinished one, never over a finished one.
pub(super) async fn save_answer(connection: &mut Connection, it: &AnswerRecord) -> QueryResult<Written> {
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
        spending::settle(connection, settle).await?;
    }
    owed_costs::add(connection, &it.owed).await?;
    let citations = (!it.citations.is_empty()).then(|| serde_json::to_string(&it.citations)).transpose();
    let citations = citations.map_err(|error| DieselError::SerializationError(error.into()))?;
    let lengths = it.boundaries.as_ref().map(Boundaries::as_bytes);
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

pub(super) async fn mark_interrupted(
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

/// The newest turns before a point, oldest first.
pub(super) async fn load_turns(connection: &mut Connection, it: &LoadHistory) -> QueryResult<TranscriptPage> {
    let wanted = i64::try_from(it.limit).unwrap_or(i64::MAX);
    // Every UUID is at most the greatest one.
    let before = it.before.map_or(uuid::Uuid::max(), |turn_id| turn_id.0);
    let page = turns::table
        .filter(turns::session_id.eq(Key(it.session_id.0)))
        .filter(turns::id.lt(Key(before)))
        .order(turns::id.desc())
        .limit(wanted.saturating_add(1))
        .select(TURN_COLUMNS);
    let mut rows: Vec<TurnRow> = on_either!(connection, link => page.load(link).await)?;
    let more = rows.len() > it.limit;
    rows.truncate(it.limit);
    rows.reverse();
    let mut turns = with_messages(connection, it.session_id, rows).await?;
    let kept = turns.iter().rev().scan(0, |bytes, turn| {
        *bytes += turn.question.content.len() + turn.answer.as_ref().map_or(0, |it| it.content.len());
        Some(*bytes)
    });
    // The newest turn is always shown.
    let kept = kept.take_while(|bytes| *bytes <= MAX_PAGE_BYTES).count().max(1);
    let left_out = turns.len().saturating_sub(kept);
    turns.drain(..left_out);
    Ok(TranscriptPage { turns, more: more || left_out > 0 })
}

/// When the session's questions since a point were asked, in order.
pub(super) async fn asked_since(
    connection: &mut Connection,
    session_id: SessionId,
    since: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    let times = turns::table
        .filter(turns::session_id.eq(Key(session_id.0)))
        .filter(turns::asked_at_ms.gt(since.0))
        .order(turns::id.asc())
        .select(turns::asked_at_ms);
    let times: Vec<i64> = on_either!(connection, link => times.load(link).await)?;
    Ok(times.into_iter().map(Timestamp).collect())
}

pub(super) async fn find_turn(connection: &mut Connection, it: &FindTurn) -> QueryResult<Option<StoredTurn>> {
    let of_session = turns::table.filter(turns::session_id.eq(Key(it.session_id.0))).select(TURN_COLUMNS);
    let row: Option<TurnRow> = match &it.key {
        TurnKey::Turn(id) => {
            let turn = of_session.filter(turns::id.eq(Key(id.0)));
            on_either!(connection, link => turn.first(link).await.optional())?
        }
        TurnKey::Client(id) => {
            let turn = of_session.filter(turns::client_id.eq(id));
            on_either!(connection, link => turn.first(link).await.optional())?
        }
    };
    Ok(with_messages(connection, it.session_id, row.into_iter().collect()).await?.pop())
}

pub(super) async fn with_messages(
    connection: &mut Connection,
    session_id: SessionId,
    rows: Vec<TurnRow>,
) -> QueryResult<Vec<StoredTurn>> {
    let (Some(first), Some(last)) = (rows.as_slice().first(), rows.as_slice().last()) else {
        return Ok(Vec::new());
    };
    let (from, until) = (first.id, last.id);
    // The turns are neighbours within their session, so a range of ids finds their messages without naming each.
    let said = messages::table
        .inner_join(turns::table)
        .filter(turns::session_id.eq(Key(session_id.0)))
        .filter(turns::id.between(from, until))
        .select(MESSAGE_COLUMNS);
    let said: Vec<MessageRow> = on_either!(connection, link => said.load(link).await)?;
    let mut by_turn: HashMap<(Key, bool), MessageRow> =
        said.into_iter().map(|row| ((row.turn_id, row.role == Role::User.as_str()), row)).collect();
    let stored = rows.into_iter().filter_map(|row| {
        let question = by_turn.remove(&(row.id, true))?.into_stored();
        let answer = by_turn.remove(&(row.id, false)).map(MessageRow::into_stored);
        Some(row.into_stored(question, answer))
    });
    Ok(stored.collect())
}
