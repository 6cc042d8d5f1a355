//! The queued writes, and the status of the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::persistence::error::StorageError;
use crate::persistence::messages::{
    CreateSession, ForgetSession, MarkInterrupted, ResumeSession, SaveFeedback, SaveQuestion,
    UpdatePendingCost,
};
use crate::persistence::records::{AnswerRecord, WriteOutcome};
use crate::telemetry::metrics::Metrics;

/// A change to be committed.
#[derive(Debug)]
pub(crate) enum Write {
    CreateSession(CreateSession),
    /// Not applied after the deadline, because the caller then keeps the session with its old
    /// epoch.
    ClaimSession(WithDeadline<ResumeSession>),
    /// Not refused for its budget after the deadline, because its answer is then being generated
    /// already.
    SaveQuestion(WithDeadline<SaveQuestion>),
    /// Boxed, because it is much larger than the other variants.
    SaveAnswer(Box<AnswerRecord>),
    MarkInterrupted(MarkInterrupted),
    /// Not applied after the deadline, because the visitor has already received an error.
    SaveFeedback(WithDeadline<SaveFeedback>),
    UpdatePendingCost(UpdatePendingCost),
    /// Not applied after the deadline, because the visitor has already received an error.
    ForgetSession(WithDeadline<ForgetSession>),
    /// Changes nothing; completes when all earlier writes are committed.
    Barrier,
}

/// A request whose caller waits until a deadline.
#[derive(Debug)]
pub(crate) struct WithDeadline<T> {
    pub(crate) request: T,
    pub(crate) deadline: Instant,
}

impl<T> WithDeadline<T> {
    pub(crate) fn new(request: T, timeout: Duration) -> Self {
        Self { request, deadline: Instant::now() + timeout }
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        now > self.deadline
    }
}

/// A write and the channel for its result. A caller that stops waiting does not cancel the write.
pub(crate) struct WriteJob {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<WriteOutcome, StorageError>>,
}

/// The status of the writer, shared with the actor.
#[derive(Debug, Default)]
pub(crate) struct WriterStatus {
    /// The most recent attempt failed because the database was unavailable.
    pub(crate) database_unavailable: AtomicBool,
    /// The number of committed transactions.
    pub(crate) batches: AtomicU64,
    /// The number of committed writes.
    pub(crate) writes: AtomicU64,
}

/// Publishes the status and the metrics of the writer.
pub(crate) struct WriterMetrics {
    pub(crate) status: Arc<WriterStatus>,
    pub(crate) metrics: Arc<Metrics>,
}

impl WriterMetrics {
    /// Records whether the database is unavailable, and returns whether it was before.
    pub(crate) fn set_unavailable(&self, unavailable: bool) -> bool {
        self.metrics.store.unavailable.set(unavailable.into());
        self.status.database_unavailable.swap(unavailable, Ordering::Relaxed)
    }

    /// Records a committed batch. `duration` includes the retries.
    pub(crate) fn record_commit(&self, writes: usize, duration: Duration) {
        let count = u32::try_from(writes).unwrap_or(u32::MAX);
        self.status.batches.fetch_add(1, Ordering::Relaxed);
        self.status.writes.fetch_add(count.into(), Ordering::Relaxed);
        let store = &self.metrics.store;
        store.commits.inc();
        store.writes.inc_by(count.into());
        store.commit_batch_size.observe(count.into());
        store.commit_duration_seconds.observe(duration.as_secs_f64());
    }
}
