//! Group commit: everything that waits is written in one transaction, so the disk is waited for once.
//!
//! Writes are committed in the order they were taken. While the database is away the group in hand waits and is tried
//! again, later writes wait behind it in the bounded buffer. A write that the database will never take is told so
//! alone: its group is written again one by one, and it is the one that is dropped, when [`suspicion`](super::suspicion) is sure.

mod batch;
pub(crate) mod job;
mod poison_detector;
mod write_probe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, oneshot};

use crate::persistence::StorageError;
use crate::persistence::db::pool::{Connection, Pool};
use crate::persistence::records::Written;
use crate::persistence::writer::job::{Job, Observed, Write};
use crate::persistence::writer::poison_detector::{Suspicion, Verdict};
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

/// Writes that may wait for the database.
pub(crate) const BUFFER_CAPACITY: usize = 4096;

/// Most writes in one transaction: beyond this the wait for the disk is no longer what counts.
const MAX_GROUP: usize = 512;

/// The first and the longest pause between two tries when the database is away.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Panics over a group that make it the data's own fault.
const MOST_PANICS: u32 = 3;

type Asker = oneshot::Sender<Result<Written, StorageError>>;

/// Takes writes out of the buffer and commits them. What it has in hand outlives a panic.
pub(crate) struct Writer {
    pool: Pool,
    jobs: mpsc::Receiver<Job>,
    observed: Observed,
    log: Logger,
    /// The group that is being committed.
    writes: Arc<[Arc<Write>]>,
    /// Who waits for its last so many writes; nobody between groups.
    askers: std::vec::IntoIter<Asker>,
    /// The group was refused as a whole: its writes are committed one by one.
    parted: bool,
}

impl Writer {
    pub(crate) fn new(pool: Pool, jobs: mpsc::Receiver<Job>, observed: Observed, log: Logger) -> Self {
        let nobody = Vec::new().into_iter();
        Self { pool, jobs, observed, log, writes: Arc::new([]), askers: nobody, parted: false }
    }

    /// Commits until the sender of jobs is gone. Begun again, it commits first what it had in hand: whether it was
    /// committed before, nobody knows, and writing it twice does no harm.
    pub(crate) async fn run(&mut self) {
        let mut waiting = Vec::with_capacity(MAX_GROUP);
        loop {
            if self.askers.len() == 0 {
                if self.jobs.recv_many(&mut waiting, MAX_GROUP).await == 0 {
                    return;
                }
                let (writes, askers): (Vec<_>, Vec<_>) =
                    waiting.drain(..).map(|job| (Arc::new(job.write), job.reply)).unzip();
                (self.writes, self.askers, self.parted) = (writes.into(), askers.into_iter(), false);
            }
            failpoints::hit(Failpoint::WriterBatch, "");
            failpoints::pause(Failpoint::WriterBatch).await;
            let told = self.writes.len() - self.askers.len();
            let writes = match self.writes.get(told) {
                Some(next) if self.parted => [Arc::clone(next)].into(),
                _ => Arc::clone(&self.writes),
            };
            let alone = writes.len() == 1;
            match commit_when_available(&self.pool, writes, &self.observed, &self.log).await {
                Ok(results) => results.into_iter().for_each(|written| self.reply(Ok(written))),
                Err(error) if alone => {
                    error!(self.log, "a write was refused and is lost"; "cause" => %error);
                    self.reply(Err(error));
                }
                Err(error) => {
                    warn!(self.log, "a group of writes was refused, trying one by one"; "size" => self.writes.len(), "cause" => %error);
                    self.parted = true;
                }
            }
            if self.askers.len() == 0 {
                self.writes = Arc::new([]);
            }
        }
    }

    /// Tells the next asker.
    fn reply(&mut self, result: Result<Written, StorageError>) {
        // One that lost its patience is not there any more.
        if let Some(asker) = self.askers.next() {
            let _ = asker.send(result);
        }
    }
}

/// One transaction, tried again until the database is there. An error is the data's own.
async fn commit_when_available(
    pool: &Pool,
    writes: Arc<[Arc<Write>]>,
    observed: &Observed,
    log: &Logger,
) -> Result<Vec<Written>, StorageError> {
    let (mut pause, longest) = RETRY_PAUSES;
    let (mut suspicion, mut panics) = (Suspicion::default(), 0);
    let begun = Instant::now();
    loop {
        let them = Arc::clone(&writes);
        let result =
            pool.run(async move |connection: &mut Connection| batch::commit(connection, &them).await).await;
        let away = match result {
            Ok(results) => {
                if observed.set_away(false) {
                    info!(log, "the database is back");
                }
                observed.committed(writes.len(), begun.elapsed());
                return Ok(results);
            }
            Err(StorageError::Unavailable(cause)) => {
                suspicion.acquit();
                Some(cause)
            }
            // Our own code may dislike the data, or something else that passes. Its own line is in the log.
            Err(error @ StorageError::Panicked(_)) => {
                panics += 1;
                if panics >= MOST_PANICS {
                    return Err(error);
                }
                None
            }
            Err(StorageError::Unclear(cause)) => {
                let takes_others = pool.run(write_probe::write_in_vain).await.is_ok();
                match suspicion.failed(Instant::now(), writes.len(), takes_others) {
                    Verdict::TryAgain => None,
                    Verdict::Wait => Some(cause),
                    Verdict::Blame => return Err(StorageError::Rejected(cause)),
                }
            }
            Err(error) => return Err(error),
        };
        if let Some(cause) = away
            && !observed.set_away(true)
        {
            warn!(log, "the database is away; writes wait"; "cause" => cause);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
