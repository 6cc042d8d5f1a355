//! A change on its way to the database, and the status of the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::persistence::StorageError;
use crate::persistence::messages::{
    ChangeOwedCost, CreateSession, ForgetSession, MarkInterrupted, ResumeSession, SaveFeedback, SaveQuestion,
};
use crate::persistence::records::{AnswerRecord, Written};
use crate::telemetry::metrics::Metrics;

/// A change to be committed.
#[derive(Debug)]
pub(crate) enum Write {
    CreateSession(CreateSession),
    /// Not after the time: whoever asked has given up, and the connection that is alive must keep its session.
    RaiseEpoch(ResumeSession, Instant),
    /// Until the time a ceiling of the day may refuse it; after that its asker has gone on.
    SaveQuestion(SaveQuestion, Instant),
    /// In a box, so that everything else that waits is not as big.
    SaveAnswer(Box<AnswerRecord>),
    MarkInterrupted(MarkInterrupted),
    /// Not after the time, as with [`Self::ForgetSession`].
    SaveFeedback(SaveFeedback, Instant),
    ChangeOwedCost(ChangeOwedCost),
    /// Not after the time: whoever asked was told that it did not happen.
    ForgetSession(ForgetSession, Instant),
    /// Changes nothing; is done when everything before it is.
    Barrier,
}

/// A change and who wants to know of it. An asker that has gone does not stop the change.
pub(crate) struct Job {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<Written, StorageError>>,
}

/// How the writing goes; shared with the actor.
#[derive(Debug, Default)]
pub(crate) struct WriterCondition {
    /// The last try failed because the database was away.
    pub(crate) away: AtomicBool,
    /// Transactions committed.
    pub(crate) groups: AtomicU64,
    /// Writes committed.
    pub(crate) writes: AtomicU64,
}

/// Whom the writer tells how it goes.
pub(crate) struct Observed {
    pub(crate) condition: Arc<WriterCondition>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Observed {
    /// Notes whether the database is away; says whether it was.
    pub(crate) fn set_away(&self, away: bool) -> bool {
        self.metrics.store.away.set(away.into());
        self.condition.away.swap(away, Ordering::Relaxed)
    }

    pub(crate) fn committed(&self, writes: usize, took: Duration) {
        let count = u32::try_from(writes).unwrap_or(u32::MAX);
        self.condition.groups.fetch_add(1, Ordering::Relaxed);
        self.condition.writes.fetch_add(count.into(), Ordering::Relaxed);
        let store = &self.metrics.store;
        store.commits.inc();
        store.writes.inc_by(count.into());
        store.commit_writes.observe(count.into());
        store.commit_duration_seconds.observe(took.as_secs_f64());
    }
}
