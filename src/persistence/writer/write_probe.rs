//! A write like any other that is taken back: does the database take one at all?

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::domain::turn::{Role, TurnStatus};
use crate::persistence::db::cached_statement::Prepared;
use crate::persistence::db::models::{Key, NewMessage, NewSession, NewTurn};
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::{messages, sessions, turns};

/// Bytes of a text that finds no room where an answer would find none.
const LENGTH: usize = 64 * 1024;

/// Changes nothing, but fails where a change would: behind a lock, on a database that may only be read, on a disk that is full.
pub(crate) async fn write_in_vain(connection: &mut Connection) -> QueryResult<()> {
    connection.begin().await?;
    let written = write(connection).await;
    connection.roll_back().await?;
    written
}

async fn write(connection: &mut Connection) -> QueryResult<()> {
    let (session, turn) = (Key(Uuid::now_v7()), Key(Uuid::now_v7()));
    let row = NewSession { id: session, token_hash: &[], epoch: 0, created_at_ms: 0, last_seen_at_ms: 0 };
    let open = diesel::insert_into(sessions::table).values(row);
    on_either!(connection, link => Prepared(open).execute(link).await)?;
    let row = NewTurn {
        id: turn,
        session_id: session,
        client_id: None,
        status: TurnStatus::Answering.as_str(),
        asked_at_ms: 0,
        answered_by: "nobody",
        regenerates: None,
    };
    let ask = diesel::insert_into(turns::table).values(row);
    on_either!(connection, link => Prepared(ask).execute(link).await)?;
    let content = incompressible()?;
    let row = NewMessage {
        turn_id: turn,
        role: Role::User.as_str(),
        content: &content,
        tokens: 0,
        created_at_ms: 0,
        delta_lengths: None,
        citations: None,
    };
    let say = diesel::insert_into(messages::table).values(row);
    on_either!(connection, link => Prepared(say).execute(link).await)?;
    Ok(())
}

/// Text that takes its room whatever the database does to save some.
fn incompressible() -> QueryResult<String> {
    let mut bytes = vec![0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| DieselError::SerializationError(error.to_string().into()))?;
    Ok(bytes.iter().map(|byte| char::from(b' ' + byte % 95)).collect())
}
