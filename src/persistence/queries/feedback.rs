//! Stores visitors' feedback on answers.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::persistence::db::models::{Key, NewFeedback};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{feedback, turns};
use crate::persistence::messages::SaveFeedback;
use crate::persistence::queries::sessions;
use crate::persistence::records::WriteOutcome;

/// Replaces the feedback on an answer, or deletes it if there is no rating. Idempotent.
pub(crate) async fn save(connection: &mut Connection, save: &SaveFeedback) -> QueryResult<WriteOutcome> {
    if !sessions::is_owned(connection, save.session_id, save.epoch).await? {
        return Ok(WriteOutcome::Superseded);
    }
    let key = Key(save.turn_id.0);
    let turn = turns::table.find(key).filter(turns::session_id.eq(Key(save.session_id.0))).count();
    let found: i64 = run_statement!(connection, conn => turn.get_result(conn).await)?;
    if found == 0 {
        return Ok(WriteOutcome::NotFound);
    }
    let Some(rating) = save.rating else {
        let delete = diesel::delete(feedback::table.find(key));
        run_statement!(connection, conn => delete.execute(conn).await)?;
        return Ok(WriteOutcome::Done);
    };
    let (rating, comment, at) = (rating.as_str(), save.comment.as_deref(), save.at.0);
    let upsert = diesel::insert_into(feedback::table)
        .values(NewFeedback { turn_id: key, rating, comment, given_at_ms: at })
        .on_conflict(feedback::turn_id)
        .do_update()
        .set((feedback::rating.eq(rating), feedback::comment.eq(comment), feedback::given_at_ms.eq(at)));
    run_statement!(connection, conn => upsert.execute(conn).await)?;
    Ok(WriteOutcome::Done)
}
