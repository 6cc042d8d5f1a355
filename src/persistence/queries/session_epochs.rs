//! Session takeovers: each connection that takes a session over increments its epoch.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::domain::ids::SessionId;
use crate::persistence::db::models::Key;
use crate::persistence::db::pool::{Connection, run_statement};
use crate::persistence::db::schema::sessions;
use crate::persistence::messages::{Epochs, FindEpochs, ResumeSession};
use crate::persistence::records::WriteOutcome;

/// Takes over each session for a new connection, unless the session is unknown or expired, or the
/// token is wrong. Uses two statements for any number of requests; each session may occur only
/// once. The token of an unknown session is compared like a wrong one, so that both take the same
/// time.
pub(crate) async fn claim(
    connection: &mut Connection,
    requests: &[&ResumeSession],
) -> QueryResult<Vec<WriteOutcome>> {
    let keys = requests.iter().map(|request| Key(request.session_id.0));
    let stored = sessions::table.filter(sessions::id.eq_any(keys)).select((
        sessions::id,
        sessions::token_hash,
        sessions::last_seen_at_ms,
    ));
    let stored: Vec<(Key, Vec<u8>, i64)> = run_statement!(connection, conn => stored.load(conn).await)?;
    let stored: HashMap<Key, (Vec<u8>, i64)> =
        stored.into_iter().map(|(key, hash, last_seen)| (key, (hash, last_seen))).collect();
    let unknown = (Vec::new(), 0);
    let refusals = requests.iter().map(|request| {
        let (hash, last_seen) = stored.get(&Key(request.session_id.0)).unwrap_or(&unknown);
        match request.token_hash.matches(hash) {
            false => Some(WriteOutcome::NotFound),
            true if *last_seen < request.at.minus(request.ttl).0 => Some(WriteOutcome::Expired),
            true => None,
        }
    });
    let refusals: Vec<Option<WriteOutcome>> = refusals.collect();
    let accepted =
        requests.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(request, _)| *request);
    let epochs = increment_epochs(connection, accepted.collect()).await?;
    let outcomes = requests.iter().zip(refusals).map(|(request, refusal)| {
        refusal.unwrap_or_else(|| match epochs.get(&Key(request.session_id.0)) {
            Some(epoch) => WriteOutcome::Claimed { epoch: *epoch },
            None => WriteOutcome::NotFound,
        })
    });
    Ok(outcomes.collect())
}

/// Returns the new epochs. A session that was deleted meanwhile has none.
async fn increment_epochs(
    connection: &mut Connection,
    requests: Vec<&ResumeSession>,
) -> QueryResult<HashMap<Key, i64>> {
    let Some(now) = requests.iter().map(|request| request.at.0).max() else { return Ok(HashMap::new()) };
    let keys = requests.iter().map(|request| Key(request.session_id.0));
    let update = diesel::update(sessions::table.filter(sessions::id.eq_any(keys)))
        .set((sessions::epoch.eq(sessions::epoch + 1), sessions::last_seen_at_ms.eq(now)))
        .returning((sessions::id, sessions::epoch));
    let epochs: Vec<(Key, i64)> = run_statement!(connection, conn => update.get_results(conn).await)?;
    Ok(epochs.into_iter().collect())
}

/// Reads the epochs of the given sessions. Missing sessions are omitted.
pub(crate) async fn find(connection: &mut Connection, find: &FindEpochs) -> QueryResult<Epochs> {
    let keys = find.sessions.iter().map(|session| Key(session.0));
    let epochs = sessions::table.filter(sessions::id.eq_any(keys)).select((sessions::id, sessions::epoch));
    let epochs: Vec<(Key, i64)> = run_statement!(connection, conn => epochs.load(conn).await)?;
    Ok(epochs.into_iter().map(|(id, epoch)| (SessionId(id.0), epoch)).collect())
}
