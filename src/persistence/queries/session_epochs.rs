//! Who has a session: its epoch is raised by every connection that takes it over.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::domain::ids::SessionId;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, on_either};
use crate::persistence::db::schema::sessions;
use crate::persistence::messages::{Epochs, FindEpochs, ResumeSession};
use crate::persistence::records::Written;

/// Gives each session to a new connection, unless it is unknown, another's, or too old. However many come back, that is two
/// statements, so a session may be named only once. An unknown session is compared as one with a wrong token is, which takes the same
/// time wherever the two differ.
pub(crate) async fn raise_epochs(
    connection: &mut Connection,
    them: &[&ResumeSession],
) -> QueryResult<Vec<Written>> {
    let keys = them.iter().map(|it| Key(it.session_id.0));
    let stored = sessions::table.filter(sessions::id.eq_any(keys)).select((
        sessions::id,
        sessions::token_hash,
        sessions::last_seen_at_ms,
    ));
    let stored: Vec<(Key, Vec<u8>, i64)> = on_either!(connection, link => stored.load(link).await)?;
    let stored: HashMap<Key, (Vec<u8>, i64)> =
        stored.into_iter().map(|(key, hash, last_seen)| (key, (hash, last_seen))).collect();
    let unknown = (Vec::new(), 0);
    let refusals = them.iter().map(|it| {
        let (hash, last_seen) = stored.get(&Key(it.session_id.0)).unwrap_or(&unknown);
        match it.token_hash.matches(hash) {
            false => Some(Written::NotFound),
            true if *last_seen < it.at.minus(it.ttl).0 => Some(Written::Expired),
            true => None,
        }
    });
    let refusals: Vec<Option<Written>> = refusals.collect();
    let taken = them.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(it, _)| *it);
    let epochs = raise(connection, taken.collect()).await?;
    let written = them.iter().zip(refusals).map(|(it, refusal)| {
        let raised =
            || epochs.get(&Key(it.session_id.0)).map_or(Written::NotFound, |epoch| Written::Epoch(*epoch));
        refusal.unwrap_or_else(raised)
    });
    Ok(written.collect())
}

/// The new epochs. A session that was deleted meanwhile has none.
async fn raise(connection: &mut Connection, them: Vec<&ResumeSession>) -> QueryResult<HashMap<Key, i64>> {
    let Some(now) = them.iter().map(|it| it.at.0).max() else { return Ok(HashMap::new()) };
    let keys = them.iter().map(|it| Key(it.session_id.0));
    let raise = diesel::update(sessions::table.filter(sessions::id.eq_any(keys)))
        .set((sessions::epoch.eq(sessions::epoch + 1), sessions::last_seen_at_ms.eq(now)))
        .returning((sessions::id, sessions::epoch));
    let raised: Vec<(Key, i64)> = on_either!(connection, link => raise.get_results(link).await)?;
    Ok(raised.into_iter().collect())
}

/// The epochs of those sessions that are there.
pub(crate) async fn find_epochs(connection: &mut Connection, it: &FindEpochs) -> QueryResult<Epochs> {
    let wanted = it.sessions.iter().map(|session| Key(session.0));
    let found = sessions::table.filter(sessions::id.eq_any(wanted)).select((sessions::id, sessions::epoch));
    let found: Vec<(Key, i64)> = on_either!(connection, link => found.load(link).await)?;
    Ok(found.into_iter().map(|(id, epoch)| (SessionId(id.0), epoch)).collect())
}
