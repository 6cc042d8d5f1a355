//! A group of writes as one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use diesel::QueryResult;

use super::messages::ResumeSession;
use super::pool::Connection;
use super::writer::{Write, Written};
use super::{owed_costs, queries, succession, visitors_wishes};
use crate::faults::{self, Point};

/// Commits all of them, in their order, or none. One result for each.
pub(super) async fn commit(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<Written>> {
    connection.begin().await?;
    match apply_all(connection, writes).await {
        Ok(results) => {
            faults::pass(Point::WriterCommit, "");
            connection.commit().await?;
            faults::pass(Point::WriterCommitted, "");
            Ok(results)
        }
        Err(error) => {
            // When even this fails the pool sees a broken transaction and drops the connection.
            let _ = connection.roll_back().await;
            Err(error)
        }
    }
}

async fn apply_all(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<Written>> {
    let mut results = Vec::with_capacity(writes.len());
    while let Some(left @ [first, ..]) = writes.get(results.len()..) {
        let written = match &**first {
            Write::RaiseEpoch(..) => {
                results.extend(resume(connection, &resumptions(left)).await?);
                continue;
            }
            Write::CreateSession(it) => queries::create_session(connection, it).await?,
            Write::SaveQuestion(it, until) => {
                queries::save_question(connection, it, Instant::now() <= *until).await?
            }
            Write::SaveAnswer(it) => queries::save_answer(connection, it).await?,
            Write::MarkInterrupted(it) => queries::mark_interrupted(connection, it).await?,
            Write::SaveFeedback(it) => visitors_wishes::save_feedback(connection, it).await?,
            Write::ChangeOwedCost(it) => owed_costs::change(connection, it).await?,
            Write::ForgetSession(_, until) if Instant::now() > *until => Written::TooLate,
            Write::ForgetSession(it, _) => visitors_wishes::forget_session(connection, it).await?,
            Write::Barrier => Written::Done,
        };
        results.push(written);
    }
    Ok(results)
}

/// Those that the writes begin with, as far as each is of another session: after a restart everybody comes back at once.
fn resumptions(writes: &[Arc<Write>]) -> Vec<(&ResumeSession, Instant)> {
    let mut sessions = HashSet::new();
    let them = writes.iter().map_while(|write| match &**write {
        Write::RaiseEpoch(it, until) if sessions.insert(it.session_id) => Some((it, *until)),
        _ => None,
    });
    them.collect()
}

async fn resume(
    connection: &mut Connection,
    them: &[(&ResumeSession, Instant)],
) -> QueryResult<Vec<Written>> {
    let now = Instant::now();
    let in_time = them.iter().filter(|(_, until)| now <= *until).map(|(it, _)| *it).collect::<Vec<_>>();
    let mut raised = succession::raise_epochs(connection, &in_time).await?.into_iter();
    let written = them.iter().map(|(_, until)| match now <= *until {
        true => raised.next().unwrap_or(Written::NotFound),
        false => Written::TooLate,
    });
    Ok(written.collect())
}
