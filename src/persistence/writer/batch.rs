//! A batch of writes in one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use diesel::QueryResult;

use crate::domain::ids::SessionId;
use crate::persistence::db::pool::Connection;
use crate::persistence::messages::{ResumeSession, SaveQuestion};
use crate::persistence::queries::questions::QuestionToSave;
use crate::persistence::queries::{feedback, pending_costs, questions, session_epochs, sessions, turns};
use crate::persistence::records::WriteOutcome;
use crate::persistence::writer::job::{WithDeadline, Write};
use crate::system::failpoints::{self, Failpoint};

/// Commits all writes in their order, or none. Returns one outcome for each.
pub(crate) async fn commit(
    connection: &mut Connection,
    writes: &[Arc<Write>],
) -> QueryResult<Vec<WriteOutcome>> {
    connection.begin_transaction().await?;
    match apply(connection, writes).await {
        Ok(outcomes) => {
            failpoints::hit(Failpoint::WriterCommit, "");
            connection.commit().await?;
            failpoints::hit(Failpoint::WriterCommitted, "");
            Ok(outcomes)
        }
        Err(error) => {
            // If the rollback fails as well, the pool detects the broken transaction and drops the
            // connection.
            let _ = connection.roll_back().await;
            Err(error)
        }
    }
}

async fn apply(connection: &mut Connection, writes: &[Arc<Write>]) -> QueryResult<Vec<WriteOutcome>> {
    let mut outcomes = Vec::with_capacity(writes.len());
    while let Some(remaining @ [first, ..]) = writes.get(outcomes.len()..) {
        let now = Instant::now();
        let outcome = match &**first {
            Write::ClaimSession(_) => {
                outcomes.extend(claim_sessions(connection, remaining).await?);
                continue;
            }
            Write::SaveQuestion(_) => {
                outcomes.extend(save_questions(connection, remaining).await?);
                continue;
            }
            Write::CreateSession(create) => sessions::create(connection, create).await?,
            Write::SaveAnswer(answer) => turns::save_answer(connection, answer).await?,
            Write::MarkInterrupted(mark) => turns::mark_interrupted(connection, mark).await?,
            Write::SaveFeedback(save) if save.is_expired(now) => WriteOutcome::TimedOut,
            Write::SaveFeedback(save) => feedback::save(connection, &save.request).await?,
            Write::UpdatePendingCost(update) => pending_costs::update(connection, update).await?,
            Write::ForgetSession(forget) if forget.is_expired(now) => WriteOutcome::TimedOut,
            Write::ForgetSession(forget) => sessions::delete(connection, &forget.request).await?,
            Write::Barrier => WriteOutcome::Done,
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Applies the takeovers at the start of `writes` together, because all clients reconnect at the
/// same time after a restart.
async fn claim_sessions(
    connection: &mut Connection,
    writes: &[Arc<Write>],
) -> QueryResult<Vec<WriteOutcome>> {
    let claims: Vec<&WithDeadline<ResumeSession>> = take_same_kind(writes, |write| match write {
        Write::ClaimSession(claim) => Some((claim.request.session_id, claim)),
        _ => None,
    });
    let now = Instant::now();
    let in_time: Vec<&ResumeSession> =
        claims.iter().filter(|claim| !claim.is_expired(now)).map(|claim| &claim.request).collect();
    let mut claimed = session_epochs::claim(connection, &in_time).await?.into_iter();
    let outcomes = claims.iter().map(|claim| match claim.is_expired(now) {
        true => WriteOutcome::TimedOut,
        false => claimed.next().unwrap_or(WriteOutcome::NotFound),
    });
    Ok(outcomes.collect())
}

/// Applies the questions at the start of `writes` together.
async fn save_questions(
    connection: &mut Connection,
    writes: &[Arc<Write>],
) -> QueryResult<Vec<WriteOutcome>> {
    let saves: Vec<&WithDeadline<SaveQuestion>> = take_same_kind(writes, |write| match write {
        Write::SaveQuestion(save) => Some((save.request.session_id, save)),
        _ => None,
    });
    let now = Instant::now();
    let to_save = saves
        .into_iter()
        .map(|save| QuestionToSave { question: &save.request, may_be_refused: !save.is_expired(now) });
    questions::save(connection, to_save).await
}

/// Returns the writes of one kind at the start of `writes`, up to the second write of a session.
/// The result of such writes does not depend on their order.
fn take_same_kind<'a, T>(
    writes: &'a [Arc<Write>],
    select: impl Fn(&'a Write) -> Option<(SessionId, T)>,
) -> Vec<T> {
    let mut sessions = HashSet::new();
    let same_kind =
        writes.iter().map_while(|write| select(write).filter(|(session, _)| sessions.insert(*session)));
    same_kind.map(|(_, request)| request).collect()
}
