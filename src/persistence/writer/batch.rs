//! A group of writes as one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use diesel::QueryResult;

use crate::domain::ids::SessionId;
use crate::persistence::db::pool::Connection;
use crate::persistence::queries::{feedback, pending_costs, questions, session_epochs, turns};
use crate::persistence::records::Written;
use crate::persistence::writer::job::Write;
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

/// Commits all of them, in their order, or none. One result for each.
pub(crate) async fn commit(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<Written>> {
    connection.begin().await?;
    match apply_all(connection, writes).await {
        Ok(results) => {
            failpoints::hit(Failpoint::WriterCommit, "");
            connection.commit().await?;
            failpoints::hit(Failpoint::WriterCommitted, "");
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
                results.extend(resume(connection, left).await?);
                continue;
            }
            Write::SaveQuestion(..) => {
                results.extend(ask(connection, left).await?);
                continue;
            }
            Write::CreateSession(it) => turns::create_session(connection, it).await?,
            Write::SaveAnswer(it) => turns::save_answer(connection, it).await?,
            Write::MarkInterrupted(it) => turns::mark_interrupted(connection, it).await?,
            Write::SaveFeedback(_, until) | Write::ForgetSession(_, until) if Instant::now() > *until => {
                Written::TooLate
            }
            Write::SaveFeedback(it, _) => feedback::save_feedback(connection, it).await?,
            Write::ChangeOwedCost(it) => pending_costs::change(connection, it).await?,
            Write::ForgetSession(it, _) => feedback::forget_session(connection, it).await?,
            Write::Barrier => Written::Done,
        };
        results.push(written);
    }
    Ok(results)
}

/// The resumptions that the writes begin with: after a restart everybody comes back at once.
async fn resume(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<Written>> {
    let them = alike(writes, |write| match write {
        Write::RaiseEpoch(it, until) => Some((it.session_id, (it, *until))),
        _ => None,
    });
    let now = Instant::now();
    let in_time = them.iter().filter(|(_, until)| now <= *until).map(|(it, _)| *it).collect::<Vec<_>>();
    let mut raised = session_epochs::raise_epochs(connection, &in_time).await?.into_iter();
    let written = them.iter().map(|(_, until)| match now <= *until {
        true => raised.next().unwrap_or(Written::NotFound),
        false => Written::TooLate,
    });
    Ok(written.collect())
}

/// The questions that the writes begin with.
async fn ask(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<Written>> {
    let them = alike(writes, |write| match write {
        Write::SaveQuestion(it, until) => Some((it.session_id, (it, *until))),
        _ => None,
    });
    let now = Instant::now();
    questions::save(connection, them.into_iter().map(|(it, until)| (it, now <= until))).await
}

/// The writes of one kind at the beginning, as far as each is of another session: what they come to does not depend on their order.
fn alike<'a, T>(writes: &'a [Arc<Write>], of_kind: impl Fn(&'a Write) -> Option<(SessionId, T)>) -> Vec<T> {
    let mut sessions = HashSet::new();
    let them =
        writes.iter().map_while(|write| of_kind(write).filter(|(session, _)| sessions.insert(*session)));
    them.map(|(_, it)| it).collect()
}
