//! Group commit: everything that waits is written in one transaction, so the disk is waited for once.
//!
//! Writes are committed in the order they were taken. While the database is away the group in hand waits and is tried
//! again, later writes wait behind it in the bounded buffer. A write that the database will never take is told so
//! alone: its group is written again one by one, and it is the one that is dropped, when [`suspicion`](super::suspicion) is sure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, oneshot};

use super::StorageError;
use super::messages::{
    AnswerRecord, CreateSession, ForgetSession, MarkInterrupted, ResumeSession, SaveFeedback, SaveQuestion,
};
use super::owed_costs::ChangeOwedCost;
use super::pool::{Connection, Pool};
use super::suspicion::{Suspicion, Verdict};
use super::{group, trial};
use crate::faults::{self, Point};
use crate::spending::Scope;
use crate::telemetry::metrics::Metrics;

/// Writes that may wait for the database.
pub(super) const BUFFER_CAPACITY: usize = 4096;

/// Most writes in one transaction: beyond this the wait for the disk is no longer what counts.
const MAX_GROUP: usize = 512;

/// The first and the longest pause between two tries when the database is away.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Panics over a group that make it the data's own fault.
const MOST_PANICS: u32 = 3;

/// A change to be committed.
#[derive(Debug)]
pub(super) enum Write {
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

/// What a committed change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    Epoch(i64),
    NotFound,
    Expired,
    TooLate,
    Superseded,
    Duplicate,
    CeilingReached(Scope),
}

/// A change and who wants to know of it. An asker that has gone does not stop the change.
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) reply: oneshot::Sender<Result<Written, StorageError>>,
}

/// How the writing goes; shared with the actor.
#[derive(Debug, Default)]
pub(super) struct WriterCondition {
    /// The last try failed because the database was away.
    pub(super) away: AtomicBool,
    /// Transactions committed.
    pub(super) groups: AtomicU64,
    /// Writes committed.
    pub(super) writes: AtomicU64,
}

/// Whom the writer tells how it goes.
pub(super) struct Observed {
    pub(super) condition: Arc<WriterCondition>,
    pub(super) metrics: Arc<Metrics>,
}

impl Observed {
    /// Notes whether the database is away; says whether it was.
    fn set_away(&self, away: bool) -> bool {
        self.metrics.store.away.set(away.into());
        self.condition.away.swap(away, Ordering::Relaxed)
    }

    fn committed(&self, writes: usize, took: Duration) {
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

type Asker = oneshot::Sender<Result<Written, StorageError>>;

/// Takes writes out of the buffer and commits them. What it has in hand outlives a panic.
pub(super) struct Writer {
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
    pub(super) fn new(pool: Pool, jobs: mpsc::Receiver<Job>, observed: Observed, log: Logger) -> Self {
        let nobody = Vec::new().into_iter();
        Self { pool, jobs, observed, log, writes: Arc::new([]), askers: nobody, parted: false }
    }

    /// Commits until the sender of jobs is gone. Begun again, it commits first what it had in hand: whether it was
    /// committed before, nobody knows, and writing it twice does no harm.
    pub(super) async fn run(&mut self) {
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
            faults::pass(Point::WriterGroup, "");
            faults::linger(Point::WriterGroup).await;
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
            pool.run(async move |connection: &mut Connection| group::commit(connection, &them).await).await;
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
                let takes_others = pool.run(trial::write_in_vain).await.is_ok();
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
