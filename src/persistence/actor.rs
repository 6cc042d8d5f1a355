//! The actor of the store: queues writes and starts reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Supervised};
use diesel::QueryResult;
use slog::Logger;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::budget::{Account, Amount};
use crate::domain::component::Component;
use crate::domain::limits::{MAX_EXCHANGES, RATE_WINDOW};
use crate::impl_mailbox;
use crate::mailbox::{Handle, Mailbox, Reply};
use crate::persistence::db::pool::{Connection, Pool, PoolState};
use crate::persistence::error::StorageError;
use crate::persistence::messages::{
    CheckStorage, CheckWriter, CreateSession, Epochs, FindEpochs, FindPendingCosts, FindTurn, FlushStorage,
    ForgetSession, LoadBudgetUsage, LoadHistory, MarkInterrupted, ResumeSession, Resumption, SaveAnswer,
    SaveFeedback, SaveQuestion, UpdatePendingCost, WriterReport,
};
use crate::persistence::queries::{budget, pending_costs, session_epochs, sessions, transcript};
use crate::persistence::records::{PendingCosts, StoredSession, StoredTurn, TranscriptPage, WriteOutcome};
use crate::persistence::timeouts::STORE_TIMEOUT;
use crate::persistence::writer::job::{WithDeadline, Write, WriteJob, WriterMetrics, WriterStatus};
use crate::persistence::writer::{QUEUE_CAPACITY, Writer};
use crate::settings::DatabaseSettings;
use crate::supervision::Supervision;
use crate::system::failpoints::{self, Failpoint};
use crate::telemetry::metrics::Metrics;

/// The capacity of the mailbox. Handling a message takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// How often the gauges of the pool and the queue are updated.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// Owns the connection pool and the queue of writes.
pub struct PersistenceActor {
    pool: Pool,
    queue: mpsc::Sender<WriteJob>,
    writer_status: Arc<WriterStatus>,
    metrics: Arc<Metrics>,
}

impl PersistenceActor {
    /// Creates the actor and starts the writer task. Must be called on the thread of the actor,
    /// because the connections belong to its runtime.
    #[must_use]
    pub fn new(
        settings: &DatabaseSettings,
        metrics: Arc<Metrics>,
        supervision: Arc<Supervision>,
        log: Logger,
    ) -> Self {
        let pool = Pool::new(settings);
        let (queue, jobs) = mpsc::channel(QUEUE_CAPACITY);
        let writer_status = Arc::new(WriterStatus::default());
        let writer_metrics =
            WriterMetrics { status: Arc::clone(&writer_status), metrics: Arc::clone(&metrics) };
        let mut writer = Writer::new(pool.clone(), jobs, writer_metrics, log);
        actix::spawn(supervision.supervise_task(Component::Writer, async move || writer.run().await));
        Self { pool, queue, writer_status, metrics }
    }

    fn update_gauges(&self) {
        let store = &self.metrics.store;
        let PoolState { open, idle } = self.pool.state();
        store.pool_connections.set(open.into());
        store.pool_idle_connections.set(idle.into());
        store.write_queue_depth.set(i64::try_from(self.queued()).unwrap_or(i64::MAX));
    }

    fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Queues a write immediately. The returned future only waits for its outcome.
    fn enqueue(&self, write: Write) -> impl Future<Output = Result<WriteOutcome, StorageError>> + use<> {
        let (reply, outcome) = oneshot::channel();
        let queued = self.queue.try_send(WriteJob { write, reply });
        async move {
            queued.map_err(|error| match error {
                TrySendError::Full(_) => StorageError::BufferFull,
                TrySendError::Closed(_) => StorageError::WriterStopped,
            })?;
            outcome.await.unwrap_or(Err(StorageError::WriterStopped))
        }
    }

    /// Queues a write and replies when it is committed.
    fn write(&self, write: Write) -> Reply<Result<(), StorageError>> {
        let outcome = self.enqueue(write);
        Reply::later(async move { check_outcome(outcome.await?) })
    }

    /// Starts a read and replies with its result.
    fn read<R, F>(&self, operation: F) -> Reply<Result<R, StorageError>>
    where
        F: AsyncFn(&mut Connection) -> QueryResult<R> + Send + Sync + 'static,
        R: Send + 'static,
    {
        let pool = self.pool.clone();
        Reply::later(async move { pool.read(operation).await })
    }
}

impl_mailbox!(PersistenceActor, Component::Persistence, MAILBOX_CAPACITY);

impl Actor for PersistenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(METRICS_INTERVAL, |actor, _| actor.update_gauges());
    }
}

impl Supervised for PersistenceActor {
    /// Keeps the queue, which the writer task continues to process.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self {
            pool: self.pool.clone(),
            queue: self.queue.clone(),
            writer_status: Arc::clone(&self.writer_status),
            metrics: Arc::clone(&self.metrics),
        };
    }
}

/// Converts the outcome of a write that returns no value.
fn check_outcome(outcome: WriteOutcome) -> Result<(), StorageError> {
    match outcome {
        WriteOutcome::Done | WriteOutcome::Claimed { .. } => Ok(()),
        WriteOutcome::Superseded => Err(StorageError::Superseded),
        WriteOutcome::Duplicate => Err(StorageError::DuplicateQuestion),
        WriteOutcome::BudgetExceeded(scope) => Err(StorageError::BudgetExceeded(scope)),
        WriteOutcome::NotFound | WriteOutcome::Expired => Err(StorageError::Gone),
        WriteOutcome::TimedOut => Err(StorageError::TimedOut),
    }
}

impl Handle<CreateSession> for PersistenceActor {
    fn handle(&mut self, create: CreateSession, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        failpoints::hit(Failpoint::PersistenceCreate, "");
        self.write(Write::CreateSession(create))
    }
}

impl Handle<SaveQuestion> for PersistenceActor {
    fn handle(&mut self, save: SaveQuestion, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let outcome = self.enqueue(Write::SaveQuestion(WithDeadline::new(save, STORE_TIMEOUT)));
        Reply::later(async move {
            failpoints::hit(Failpoint::PersistenceReply, "");
            check_outcome(outcome.await?)
        })
    }
}

impl Handle<SaveAnswer> for PersistenceActor {
    fn handle(&mut self, save: SaveAnswer, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        self.write(Write::SaveAnswer(Box::new(save.0)))
    }
}

impl Handle<MarkInterrupted> for PersistenceActor {
    fn handle(&mut self, mark: MarkInterrupted, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        self.write(Write::MarkInterrupted(mark))
    }
}

impl Handle<SaveFeedback> for PersistenceActor {
    fn handle(&mut self, save: SaveFeedback, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        self.write(Write::SaveFeedback(WithDeadline::new(save, STORE_TIMEOUT)))
    }
}

impl Handle<ForgetSession> for PersistenceActor {
    fn handle(&mut self, forget: ForgetSession, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        self.write(Write::ForgetSession(WithDeadline::new(forget, STORE_TIMEOUT)))
    }
}

impl Handle<UpdatePendingCost> for PersistenceActor {
    fn handle(
        &mut self,
        update: UpdatePendingCost,
        _: &mut Self::Context,
    ) -> Reply<Result<bool, StorageError>> {
        let outcome = self.enqueue(Write::UpdatePendingCost(update));
        Reply::later(async move { Ok(outcome.await? == WriteOutcome::Done) })
    }
}

impl Handle<ResumeSession> for PersistenceActor {
    fn handle(
        &mut self,
        resume: ResumeSession,
        _: &mut Self::Context,
    ) -> Reply<Result<Resumption, StorageError>> {
        let session_id = resume.session_id;
        let since = resume.at.minus(RATE_WINDOW);
        let outcome = self.enqueue(Write::ClaimSession(WithDeadline::new(resume, STORE_TIMEOUT)));
        let pool = self.pool.clone();
        Reply::later(async move {
            let epoch = match outcome.await? {
                WriteOutcome::Claimed { epoch } => epoch,
                WriteOutcome::TimedOut => return Err(StorageError::TimedOut),
                WriteOutcome::Expired => return Ok(Resumption::Expired),
                _ => return Ok(Resumption::NotFound),
            };
            let newest = LoadHistory { session_id, before: None, limit: MAX_EXCHANGES };
            let read = async move |connection: &mut Connection| {
                let page = transcript::load_page(connection, &newest).await?;
                let recent_questions = match page.asked_since(since) {
                    Some(asked) => asked,
                    None => transcript::asked_since(connection, session_id, since).await?,
                };
                Ok((page, recent_questions))
            };
            let (TranscriptPage { turns, has_more }, recent_questions) = pool.read(read).await?;
            Ok(Resumption::Resumed(StoredSession { epoch, turns, has_more, recent_questions }))
        })
    }
}

impl Handle<FindEpochs> for PersistenceActor {
    fn handle(&mut self, find: FindEpochs, _: &mut Self::Context) -> Reply<Result<Epochs, StorageError>> {
        self.read(async move |connection: &mut Connection| session_epochs::find(connection, &find).await)
    }
}

impl Handle<LoadHistory> for PersistenceActor {
    fn handle(
        &mut self,
        load: LoadHistory,
        _: &mut Self::Context,
    ) -> Reply<Result<TranscriptPage, StorageError>> {
        self.read(async move |connection: &mut Connection| {
            failpoints::hit(Failpoint::PersistenceRead, "");
            let page = transcript::load_page(connection, &load).await;
            failpoints::pause(Failpoint::PersistenceAfterRead).await;
            page
        })
    }
}

impl Handle<FindTurn> for PersistenceActor {
    fn handle(
        &mut self,
        find: FindTurn,
        _: &mut Self::Context,
    ) -> Reply<Result<Option<StoredTurn>, StorageError>> {
        self.read(async move |connection: &mut Connection| transcript::find_turn(connection, &find).await)
    }
}

impl Handle<LoadBudgetUsage> for PersistenceActor {
    fn handle(
        &mut self,
        load: LoadBudgetUsage,
        _: &mut Self::Context,
    ) -> Reply<Result<Vec<(Account, Amount)>, StorageError>> {
        self.read(async move |connection: &mut Connection| budget::load(connection, &load.accounts).await)
    }
}

impl Handle<FindPendingCosts> for PersistenceActor {
    fn handle(
        &mut self,
        find: FindPendingCosts,
        _: &mut Self::Context,
    ) -> Reply<Result<PendingCosts, StorageError>> {
        self.read(async move |connection: &mut Connection| pending_costs::find(connection, &find).await)
    }
}

impl Handle<CheckStorage> for PersistenceActor {
    fn handle(&mut self, _: CheckStorage, _: &mut Self::Context) -> Reply<Result<Duration, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            let started = Instant::now();
            pool.read(sessions::ping).await?;
            Ok(started.elapsed())
        })
    }
}

impl Handle<CheckWriter> for PersistenceActor {
    fn handle(&mut self, _: CheckWriter, _: &mut Self::Context) -> Reply<WriterReport> {
        let status = &self.writer_status;
        Reply::Now(WriterReport {
            database_unavailable: status.database_unavailable.load(Ordering::Relaxed),
            queued: self.queued(),
            batches: status.batches.load(Ordering::Relaxed),
            writes: status.writes.load(Ordering::Relaxed),
        })
    }
}

impl Handle<FlushStorage> for PersistenceActor {
    fn handle(&mut self, _: FlushStorage, _: &mut Self::Context) -> Reply<()> {
        let outcome = self.enqueue(Write::Barrier);
        Reply::later(async move {
            // The caller limits the wait, and cannot do more if the queue is full.
            let _ = outcome.await;
        })
    }
}
