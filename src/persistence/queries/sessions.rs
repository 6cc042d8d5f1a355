//! Creates, checks and deletes sessions.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::domain::ids::SessionId;
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::{Key, NewSession};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::sessions;
use crate::persistence::messages::{CreateSession, ForgetSession};
use crate::persistence::records::WriteOutcome;

/// Runs a query that fails if the tables do not exist.
pub(crate) async fn ping(connection: &mut Connection) -> QueryResult<()> {
    let count = sessions::table.find(Key(uuid::Uuid::nil())).count();
    run_statement!(connection, conn => count.get_result::<i64>(conn).await)?;
    Ok(())
}

/// Creates a session. Does nothing if it exists, because the write may be retried.
pub(crate) async fn create(connection: &mut Connection, create: &CreateSession) -> QueryResult<WriteOutcome> {
    let row = NewSession {
        id: Key(create.session_id.0),
        token_hash: &create.token_hash.0,
        epoch: 0,
        created_at_ms: create.at.0,
        last_seen_at_ms: create.at.0,
    };
    let insert = diesel::insert_into(sessions::table).values(row).on_conflict_do_nothing();
    run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
    Ok(WriteOutcome::Done)
}

/// Returns whether the session exists and has this epoch.
pub(crate) async fn is_owned(
    connection: &mut Connection,
    session_id: SessionId,
    epoch: i64,
) -> QueryResult<bool> {
    let owned = sessions::table.find(Key(session_id.0)).filter(sessions::epoch.eq(epoch)).count();
    let owned: i64 = run_statement!(connection, conn => owned.get_result(conn).await)?;
    Ok(owned > 0)
}

/// Deletes a session with its turns, messages and feedback. A retry returns
/// [`WriteOutcome::NotFound`], which callers treat as success.
pub(crate) async fn delete(connection: &mut Connection, forget: &ForgetSession) -> QueryResult<WriteOutcome> {
    let session = sessions::table.find(Key(forget.session_id.0));
    let count = session.count();
    let count: i64 = run_statement!(connection, conn => count.get_result(conn).await)?;
    if count == 0 {
        return Ok(WriteOutcome::NotFound);
    }
    set_secure_delete(connection, SecureDelete::On).await?;
    let delete = diesel::delete(session.filter(sessions::epoch.eq(forget.epoch)));
    let deleted = run_statement!(connection, conn => delete.execute(conn).await);
    set_secure_delete(connection, SecureDelete::Off).await?;
    Ok(if deleted? == 0 { WriteOutcome::Superseded } else { WriteOutcome::Done })
}

/// Whether SQLite overwrites deleted content.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecureDelete {
    On,
    Off,
}

/// Makes SQLite overwrite deleted content, which otherwise stays in the file until the space is
/// reused. Enabled only for deletions, because every checkpoint of an answer frees pages as well.
pub(crate) async fn set_secure_delete(connection: &mut Connection, mode: SecureDelete) -> QueryResult<()> {
    let Connection::Sqlite(conn) = connection else { return Ok(()) };
    let pragma = match mode {
        SecureDelete::On => "PRAGMA secure_delete = ON",
        SecureDelete::Off => "PRAGMA secure_delete = OFF",
    };
    conn.batch_execute(pragma).await
}
