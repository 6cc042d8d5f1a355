//! What visitors want done with what is kept of them: their opinion of an answer, and that all of it be forgotten.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::domain::ids::SessionId;
use crate::persistence::db::models::{Key, NewFeedback};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{feedback, sessions, turns};
use crate::persistence::messages::{ForgetSession, SaveFeedback};
use crate::persistence::records::Written;

/// Keeps an opinion in place of the earlier one; none takes it back. The same write may be tried twice.
pub(crate) async fn save_feedback(connection: &mut Connection, it: &SaveFeedback) -> QueryResult<Written> {
    if !owns(connection, it.session_id, it.epoch).await? {
        return Ok(Written::Superseded);
    }
    let key = Key(it.turn_id.0);
    let turn = turns::table.find(key).filter(turns::session_id.eq(Key(it.session_id.0))).count();
    let found: i64 = on_either!(connection, link => turn.get_result(link).await)?;
    if found == 0 {
        return Ok(Written::NotFound);
    }
    let Some(rating) = it.rating else {
        let take_back = diesel::delete(feedback::table.find(key));
        on_either!(connection, link => take_back.execute(link).await)?;
        return Ok(Written::Done);
    };
    let (rating, comment, at) = (rating.as_str(), it.comment.as_deref(), it.at.0);
    let insert = diesel::insert_into(feedback::table)
        .values(NewFeedback { turn_id: key, rating, comment, given_at_ms: at })
        .on_conflict(feedback::turn_id)
        .do_update()
        .set((feedback::rating.eq(rating), feedback::comment.eq(comment), feedback::given_at_ms.eq(at)));
    on_either!(connection, link => insert.execute(link).await)?;
    Ok(Written::Done)
}

/// Deletes a session; turns, messages and feedback go with it. Tried twice, it finds nothing the second time: that is
/// [`Written::NotFound`], which says as much.
pub(crate) async fn forget_session(connection: &mut Connection, it: &ForgetSession) -> QueryResult<Written> {
    let session = sessions::table.find(Key(it.session_id.0));
    let there = session.count();
    let there: i64 = on_either!(connection, link => there.get_result(link).await)?;
    if there == 0 {
        return Ok(Written::NotFound);
    }
    // Otherwise the words would stay in the file until something is written over them.
    overwrite_what_is_deleted(connection, true).await?;
    let delete = diesel::delete(session.filter(sessions::epoch.eq(it.epoch)));
    let deleted = on_either!(connection, link => delete.execute(link).await);
    overwrite_what_is_deleted(connection, false).await?;
    Ok(if deleted? == 0 { Written::Superseded } else { Written::Done })
}

async fn owns(connection: &mut Connection, session_id: SessionId, epoch: i64) -> QueryResult<bool> {
    let owned = sessions::table.find(Key(session_id.0)).filter(sessions::epoch.eq(epoch)).count();
    let owned: i64 = on_either!(connection, link => owned.get_result(link).await)?;
    Ok(owned > 0)
}

/// Only while it is needed: every partial answer that is saved frees pages, too.
async fn overwrite_what_is_deleted(connection: &mut Connection, on: bool) -> QueryResult<()> {
    let Connection::Sqlite(link) = connection else { return Ok(()) };
    link.batch_execute(if on { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = OFF" }).await
}
