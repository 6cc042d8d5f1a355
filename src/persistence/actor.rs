//! The actor in front of the database: it takes writes into the buffer and starts reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Supervised};
use slog::Logger;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::budget::{Account, Amount};
use crate::domain::component::Component;
use crate::domain::limits::{MAX_EXCHANGES, RATE_WINDOW};
use crate::impl_mailbox;
use crate::mailbox::{Handle, Mailbox, Reply};
use crate::persistence::db::pool::{Connection, Pool};
use crate::persistence::messages::{
    ChangeOwedCost, CheckStorage, CheckWriter, CreateSession, Epochs, FindEpochs, FindOwedCosts, FindTurn,
    FlushStorage, ForgetSession, LoadHistory, LoadSpending, MarkInterrupted, ResumeSession, Resumption,
    SaveAnswer, SaveFeedback, SaveQuestion, WriterReport,
};
use crate::persistence::queries::{budget, pending_costs, session_epochs, transcript, turns};
use crate::persistence::records::{OwedCosts, StoredSession, StoredTurn, TranscriptPage, Written};
use crate::persistence::writer::job::{Job, Observed, Write, WriterCondition};
use crate::persistence::writer::{BUFFER_CAPACITY, Writer};
use crate::persistence::{PATIENCE, StorageError};
use crate::settings::DatabaseSettings;
use crate::supervision::Supervision;
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;
use crate::telemetry::metrics::Metrics;

/// Messages that may wait for the actor; handling one takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// How often the pool and the buffer are looked at for the metrics.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(1);

/// Owns the database.
pub struct PersistenceActor {
    pool: Pool,
    jobs: mpsc::Sender<Job>,
    condition: Arc<WriterCondition>,
    metrics: Arc<Metrics>,
}

impl PersistenceActor {
    /// Starts the writer. To be called on the thread the actor will live on: connections belong to its runtime.
    #[must_use]
    pub fn new(
        settings: &DatabaseSettings,
        metrics: Arc<Metrics>,
        supervision: Arc<Supervision>,
        log: Logger,
    ) -> Self {
        let pool = Pool::new(settings);
        let (jobs, waiting) = mpsc::channel(BUFFER_CAPACITY);
        let condition = Arc::new(WriterCondition::default());
        let observed = Observed { condition: Arc::clone(&condition), metrics: Arc::clone(&metrics) };
        let mut writer = Writer::new(pool.clone(), waiting, observed, log);
        actix::spawn(supervision.supervise_task(Component::Writer, async move || writer.run().await));
        Self { pool, jobs, condition, metrics }
    }

    /// Writes down what nobody else tells the metrics.
    fn observe(&self) {
        let store = &self.metrics.store;
        let (open, idle) = self.pool.connections();
        store.pool_connections.set(open.into());
        store.pool_idle_connections.set(idle.into());
        store.waiting_writes.set(i64::try_from(self.waiting()).unwrap_or(i64::MAX));
    }

    fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Puts a write into the buffer; the future is only the wait for it.
    fn write(&self, write: Write) -> impl Future<Output = Result<Written, StorageError>> + use<> {
        let (reply, written) = oneshot::channel();
        let taken = self.jobs.try_send(Job { write, reply });
        async move {
            let gone = || StorageError::Unavailable("the writer is gone".to_owned());
            taken.map_err(|error| match error {
                TrySendError::Full(_) => StorageError::BufferFull,
                TrySendError::Closed(_) => gone(),
            })?;
            written.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

impl_mailbox!(PersistenceActor, Component::Persistence, MAILBOX_CAPACITY);

impl Actor for PersistenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(OBSERVE_INTERVAL, |actor, _| actor.observe());
    }
}

impl Supervised for PersistenceActor {
    /// The buffer is the writer's, which is a task of its own: nothing that waits there is touched.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self {
            pool: self.pool.clone(),
            jobs: self.jobs.clone(),
            condition: Arc::clone(&self.condition),
            metrics: Arc::clone(&self.metrics),
        };
    }
}

fn done(written: Written) -> Result<(), StorageError> {
    match written {
        Written::Done | Written::Epoch(_) => Ok(()),
        Written::Superseded => Err(StorageError::Superseded),
        Written::Duplicate => Err(StorageError::DuplicateQuestion),
        Written::CeilingReached(scope) => Err(StorageError::CeilingReached(scope)),
        Written::NotFound => Err(StorageError::Gone),
        Written::TooLate => Err(too_late()),
        Written::Expired => Err(StorageError::Rejected("there is nothing to change".to_owned())),
    }
}

fn too_late() -> StorageError {
    StorageError::Unavailable("it came too late".to_owned())
}

impl Handle<CreateSession> for PersistenceActor {
    fn handle(&mut self, create: CreateSession, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        failpoints::hit(Failpoint::PersistenceCreate, "");
        let written = self.write(Write::CreateSession(create));
        Reply::later(async move { done(written.await?) })
    }
}

impl Handle<SaveQuestion> for PersistenceActor {
    fn handle(&mut self, save: SaveQuestion, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let written = self.write(Write::SaveQuestion(save, Instant::now() + PATIENCE));
        Reply::later(async move {
            failpoints::hit(Failpoint::PersistenceReply, "");
            done(written.await?)
        })
    }
}

impl Handle<SaveAnswer> for PersistenceActor {
    fn handle(&mut self, save: SaveAnswer, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let written = self.write(Write::SaveAnswer(Box::new(save.0)));
        Reply::later(async move { done(written.await?) })
    }
}

impl Handle<MarkInterrupted> for PersistenceActor {
    fn handle(&mut self, mark: MarkInterrupted, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let written = self.write(Write::MarkInterrupted(mark));
        Reply::later(async move { done(written.await?) })
    }
}

impl Handle<SaveFeedback> for PersistenceActor {
    fn handle(&mut self, save: SaveFeedback, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let written = self.write(Write::SaveFeedback(save, Instant::now() + PATIENCE));
        Reply::later(async move { done(written.await?) })
    }
}

impl Handle<ForgetSession> for PersistenceActor {
    fn handle(&mut self, forget: ForgetSession, _: &mut Self::Context) -> Reply<Result<(), StorageError>> {
        let written = self.write(Write::ForgetSession(forget, Instant::now() + PATIENCE));
        Reply::later(async move { done(written.await?) })
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
        let written = self.write(Write::RaiseEpoch(resume, Instant::now() + PATIENCE));
        let pool = self.pool.clone();
        Reply::later(async move {
            let epoch = match written.await? {
                Written::Epoch(epoch) => epoch,
                Written::TooLate => return Err(too_late()),
                Written::Expired => return Ok(Resumption::Expired),
                _ => return Ok(Resumption::NotFound),
            };
            let newest = LoadHistory { session_id, before: None, limit: MAX_EXCHANGES };
            let read = async move |link: &mut Connection| {
                let page = transcript::load_turns(link, &newest).await?;
                let asked = match page.asked_since(since) {
                    Some(asked) => asked,
                    None => transcript::asked_since(link, session_id, since).await?,
                };
                Ok((page, asked))
            };
            let (page, asked) = pool.read(read).await?;
            Ok(Resumption::Resumed(StoredSession { epoch, turns: page.turns, more: page.more, asked }))
        })
    }
}

impl Handle<FindEpochs> for PersistenceActor {
    fn handle(&mut self, find: FindEpochs, _: &mut Self::Context) -> Reply<Result<Epochs, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            pool.read(async move |link: &mut Connection| session_epochs::find_epochs(link, &find).await).await
        })
    }
}

impl Handle<LoadHistory> for PersistenceActor {
    fn handle(
        &mut self,
        load: LoadHistory,
        _: &mut Self::Context,
    ) -> Reply<Result<TranscriptPage, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            let operation = async move |link: &mut Connection| {
                failpoints::hit(Failpoint::PersistenceRead, "");
                let page = transcript::load_turns(link, &load).await;
                failpoints::pause(Failpoint::PersistenceAfterRead).await;
                page
            };
            pool.read(operation).await
        })
    }
}

impl Handle<FindTurn> for PersistenceActor {
    fn handle(
        &mut self,
        find: FindTurn,
        _: &mut Self::Context,
    ) -> Reply<Result<Option<StoredTurn>, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            pool.read(async move |link: &mut Connection| transcript::find_turn(link, &find).await).await
        })
    }
}

impl Handle<LoadSpending> for PersistenceActor {
    fn handle(
        &mut self,
        load: LoadSpending,
        _: &mut Self::Context,
    ) -> Reply<Result<Vec<(Account, Amount)>, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            pool.read(async move |link: &mut Connection| budget::load(link, &load.accounts).await).await
        })
    }
}

impl Handle<FindOwedCosts> for PersistenceActor {
    fn handle(
        &mut self,
        find: FindOwedCosts,
        _: &mut Self::Context,
    ) -> Reply<Result<OwedCosts, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            pool.read(async move |link: &mut Connection| pending_costs::find(link, &find).await).await
        })
    }
}

impl Handle<ChangeOwedCost> for PersistenceActor {
    fn handle(&mut self, change: ChangeOwedCost, _: &mut Self::Context) -> Reply<Result<bool, StorageError>> {
        let written = self.write(Write::ChangeOwedCost(change));
        Reply::later(async move { Ok(written.await? == Written::Done) })
    }
}

impl Handle<CheckStorage> for PersistenceActor {
    fn handle(&mut self, _: CheckStorage, _: &mut Self::Context) -> Reply<Result<Duration, StorageError>> {
        let pool = self.pool.clone();
        Reply::later(async move {
            let started = Instant::now();
            pool.read(turns::ping).await?;
            Ok(started.elapsed())
        })
    }
}

impl Handle<CheckWriter> for PersistenceActor {
    fn handle(&mut self, _: CheckWriter, _: &mut Self::Context) -> Reply<WriterReport> {
        Reply::Now(WriterReport {
            away: self.condition.away.load(Ordering::Relaxed),
            waiting: self.waiting(),
            groups: self.condition.groups.load(Ordering::Relaxed),
            writes: self.condition.writes.load(Ordering::Relaxed),
        })
    }
}

impl Handle<FlushStorage> for PersistenceActor {
    fn handle(&mut self, _: FlushStorage, _: &mut Self::Context) -> Reply<()> {
        let written = self.write(Write::Barrier);
        Reply::later(async move {
            // The asker bounds the wait; a buffer that is full says no more than that time is short.
            let _ = written.await;
        })
    }
}
