//! Batch commits: all queued writes are committed in one transaction, so that they share one disk
//! sync.
//!
//! Writes are committed in the order in which they were queued. While the database is unavailable
//! the current batch is retried, and later writes wait in the bounded queue. If the database
//! rejects a batch, its writes are retried individually, and only the rejected write is dropped,
//! once the [`poison_detector`] blames it.

mod batch;
pub(crate) mod job;
mod poison_detector;
mod write_probe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, oneshot};

use crate::domain::error_chain::ErrorChain;
use crate::persistence::db::pool::{Connection, Pool};
use crate::persistence::error::{Cause, StorageError};
use crate::persistence::records::WriteOutcome;
use crate::persistence::writer::job::{Write, WriteJob, WriterMetrics};
use crate::persistence::writer::poison_detector::{Decision, PoisonDetector};
use crate::system::backoff::Backoff;
use crate::system::failpoints::{self, Failpoint};

/// The capacity of the queue.
pub(crate) const QUEUE_CAPACITY: usize = 4096;

/// The maximum number of writes in one transaction. Beyond it the disk sync no longer dominates.
const MAX_BATCH: usize = 512;

/// The delays between attempts to commit. No jitter: there is one writer in a process.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// The number of panics after which the data of a batch is blamed.
const MAX_PANICS: u32 = 3;

type ReplySender = oneshot::Sender<Result<WriteOutcome, StorageError>>;

/// Takes writes from the queue and commits them. The current batch survives a panic of the task.
pub(crate) struct Writer {
    pool: Pool,
    jobs: mpsc::Receiver<WriteJob>,
    metrics: WriterMetrics,
    log: Logger,
    /// The current batch.
    writes: Arc<[Arc<Write>]>,
    /// The callers of those writes at the end of the batch that have no result yet; empty between
    /// batches.
    callers: std::vec::IntoIter<ReplySender>,
    /// The batch was rejected as a whole, so its writes are committed individually.
    is_split: bool,
}

impl Writer {
    pub(crate) fn new(
        pool: Pool,
        jobs: mpsc::Receiver<WriteJob>,
        metrics: WriterMetrics,
        log: Logger,
    ) -> Self {
        let callers = Vec::new().into_iter();
        Self { pool, jobs, metrics, log, writes: Arc::new([]), callers, is_split: false }
    }

    /// Commits writes until the sender of the queue is dropped. After a restart the current batch
    /// is committed again: it is unknown whether it was committed before, and all writes are
    /// idempotent.
    pub(crate) async fn run(&mut self) {
        let mut received = Vec::with_capacity(MAX_BATCH);
        loop {
            if self.callers.len() == 0 {
                if self.jobs.recv_many(&mut received, MAX_BATCH).await == 0 {
                    return;
                }
                let (writes, callers): (Vec<_>, Vec<_>) =
                    received.drain(..).map(|job| (Arc::new(job.write), job.reply)).unzip();
                (self.writes, self.callers, self.is_split) = (writes.into(), callers.into_iter(), false);
            }
            failpoints::hit(Failpoint::WriterBatch, "");
            failpoints::pause(Failpoint::WriterBatch).await;
            self.commit_next().await;
            if self.callers.len() == 0 {
                self.writes = Arc::new([]);
            }
        }
    }

    /// Commits the current batch or, if it is split, its next write.
    async fn commit_next(&mut self) {
        let completed = self.writes.len() - self.callers.len();
        let writes = match self.writes.get(completed) {
            Some(next) if self.is_split => [Arc::clone(next)].into(),
            _ => Arc::clone(&self.writes),
        };
        let is_individual = writes.len() == 1;
        match commit_with_retries(&self.pool, writes, &self.metrics, &self.log).await {
            Ok(outcomes) => outcomes.into_iter().for_each(|outcome| self.reply(Ok(outcome))),
            Err(error) if is_individual => {
                error!(self.log, "write rejected permanently, dropped"; "cause" => %ErrorChain(&error));
                self.reply(Err(error));
            }
            Err(error) => {
                warn!(self.log, "write batch failed, retrying writes individually";
                    "size" => self.writes.len(), "cause" => %ErrorChain(&error));
                self.is_split = true;
            }
        }
    }

    /// Sends a result to the next caller, which may have stopped waiting.
    fn reply(&mut self, result: Result<WriteOutcome, StorageError>) {
        if let Some(caller) = self.callers.next() {
            let _ = caller.send(result);
        }
    }
}

/// Commits writes in one transaction, and retries until the database is available. An error is
/// caused by the data.
async fn commit_with_retries(
    pool: &Pool,
    writes: Arc<[Arc<Write>]>,
    metrics: &WriterMetrics,
    log: &Logger,
) -> Result<Vec<WriteOutcome>, StorageError> {
    let (mut detector, mut panics, mut failures) = (PoisonDetector::default(), 0, 0);
    let started = Instant::now();
    loop {
        let batch = Arc::clone(&writes);
        let result =
            pool.run(async move |connection: &mut Connection| batch::commit(connection, &batch).await).await;
        let outage: Option<Cause> = match result {
            Ok(outcomes) => {
                if metrics.set_unavailable(false) {
                    info!(log, "database available again");
                }
                metrics.record_commit(writes.len(), started.elapsed());
                return Ok(outcomes);
            }
            Err(StorageError::Unavailable(cause)) => {
                detector.reset();
                Some(cause)
            }
            // The cause is the data or a transient condition. The panic itself is in the log
            // already.
            Err(error @ StorageError::Panicked(_)) => {
                panics += 1;
                if panics >= MAX_PANICS {
                    return Err(error);
                }
                None
            }
            Err(StorageError::Ambiguous(cause)) => {
                let accepts_others = pool.run(write_probe::probe_write).await.is_ok();
                match detector.record_failure(Instant::now(), writes.len(), accepts_others) {
                    Decision::Retry => None,
                    Decision::Wait => Some(cause),
                    Decision::Reject => return Err(StorageError::Rejected(cause)),
                }
            }
            Err(error) => return Err(error),
        };
        if let Some(cause) = outage
            && !metrics.set_unavailable(true)
        {
            warn!(log, "database unavailable, buffering writes"; "cause" => %ErrorChain(&cause));
        }
        tokio::time::sleep(BACKOFF.delay(failures, 1.0)).await;
        failures = failures.saturating_add(1);
    }
}
