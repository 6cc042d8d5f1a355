//! A representative write that is rolled back, to check whether the database accepts writes.

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::AlwaysPrepared;
use crate::persistence::db::models::{Key, NewMessage, NewSession, NewTurn};
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::{messages, sessions, turns};

/// The size of the written text in bytes. It must not fit where an answer would not fit.
const TEXT_BYTES: usize = 64 * 1024;

/// Changes nothing, but fails where a write would: on a lock, a read-only database or a full disk.
pub(crate) async fn probe_write(connection: &mut Connection) -> QueryResult<()> {
    connection.begin_transaction().await?;
    let result = write(connection).await;
    connection.roll_back().await?;
    result
}

async fn write(connection: &mut Connection) -> QueryResult<()> {
    let (session_id, turn_id) = (Key(Uuid::now_v7()), Key(Uuid::now_v7()));
    let session =
        NewSession { id: session_id, token_hash: &[], epoch: 0, created_at_ms: 0, last_seen_at_ms: 0 };
    let insert = diesel::insert_into(sessions::table).values(session);
    run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
    let turn = NewTurn {
        id: turn_id,
        session_id,
        client_id: None,
        status: TurnStatus::Answering.as_str(),
        asked_at_ms: 0,
        answered_by: "write-probe",
        regenerates: None,
    };
    let insert = diesel::insert_into(turns::table).values(turn);
    run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
    let content = incompressible_text()?;
    let message = NewMessage {
        turn_id,
        role: Role::User.as_str(),
        content: &content,
        tokens: 0,
        saved_at_ms: 0,
        delta_lengths: None,
        citations: None,
    };
    let insert = diesel::insert_into(messages::table).values(message);
    run_statement!(connection, conn => AlwaysPrepared(insert).execute(conn).await)?;
    Ok(())
}

/// Returns random text, which the database cannot store in less space.
fn incompressible_text() -> QueryResult<String> {
    let mut bytes = vec![0; TEXT_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| DieselError::SerializationError(error.to_string().into()))?;
    Ok(bytes.iter().map(|byte| char::from(b' ' + byte % 95)).collect())
}
