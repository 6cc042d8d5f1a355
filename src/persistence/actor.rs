//! The actor in front of the database: it takes writes into the buffer and starts reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler, ResponseFuture};
use slog::Logger;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::messages::{
    CheckStorage, CheckWriter, CreateSession, FindTurn, FlushStorage, LoadHistory, MarkInterrupted,
    ResumeSession, Resumption, SaveAnswer, SaveQuestion, StoredSession, StoredTurn, TranscriptPage,
    WriterReport,
};
use super::pool::{Connection, Pool};
use super::queries;
use super::writer::{self, BUFFER_CAPACITY, Job, Write, WriterCondition, Written};
use super::{PATIENCE, StorageError};
use crate::session::history::MAX_EXCHANGES;
use crate::session::rate_window::WINDOW;
use crate::settings::DatabaseSettings;

/// Messages that may wait for the actor; handling one takes microseconds.
const MAILBOX_CAPACITY: usize = 4096;

/// Owns the database.
pub struct PersistenceActor {
    pool: Pool,
    jobs: mpsc::Sender<Job>,
    condition: Arc<WriterCondition>,
}

impl PersistenceActor {
    /// Starts the writer. To be called on the thread the actor will live on: connections belong to its runtime.
    #[must_use]
    pub fn new(settings: &DatabaseSettings, log: Logger) -> Self {
        let pool = Pool::new(settings);
        let (jobs, waiting) = mpsc::channel(BUFFER_CAPACITY);
        let condition = Arc::new(WriterCondition::default());
        actix::spawn(writer::run(pool.clone(), waiting, Arc::clone(&condition), log));
        Self { pool, jobs, condition }
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

impl Actor for PersistenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
    }
}

fn done(written: Written) -> Result<(), StorageError> {
    match written {
        Written::Done | Written::Epoch(_) => Ok(()),
        Written::Superseded => Err(StorageError::Superseded),
        Written::Duplicate => Err(StorageError::DuplicateQuestion),
        Written::NotFound | Written::Expired | Written::TooLate => {
            Err(StorageError::Rejected("there is nothing to change".to_owned()))
        }
    }
}

impl Handler<CreateSession> for PersistenceActor {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, create: CreateSession, _: &mut Self::Context) -> Self::Result {
        let written = self.write(Write::CreateSession(create));
        Box::pin(async move { done(written.await?) })
    }
}

impl Handler<SaveQuestion> for PersistenceActor {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, save: SaveQuestion, _: &mut Self::Context) -> Self::Result {
        let written = self.write(Write::SaveQuestion(save));
        Box::pin(async move { done(written.await?) })
    }
}

impl Handler<SaveAnswer> for PersistenceActor {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, save: SaveAnswer, _: &mut Self::Context) -> Self::Result {
        let written = self.write(Write::SaveAnswer(save.0));
        Box::pin(async move { done(written.await?) })
    }
}

impl Handler<MarkInterrupted> for PersistenceActor {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, mark: MarkInterrupted, _: &mut Self::Context) -> Self::Result {
        let written = self.write(Write::MarkInterrupted(mark));
        Box::pin(async move { done(written.await?) })
    }
}

impl Handler<ResumeSession> for PersistenceActor {
    type Result = ResponseFuture<Result<Resumption, StorageError>>;

    fn handle(&mut self, resume: ResumeSession, _: &mut Self::Context) -> Self::Result {
        let session_id = resume.session_id;
        let since = resume.at.minus(WINDOW);
        let written = self.write(Write::RaiseEpoch(resume, Instant::now() + PATIENCE));
        let pool = self.pool.clone();
        Box::pin(async move {
            let epoch = match written.await? {
                Written::Epoch(epoch) => epoch,
                Written::TooLate => return Err(StorageError::Unavailable("it came too late".to_owned())),
                Written::Expired => return Ok(Resumption::Expired),
                _ => return Ok(Resumption::NotFound),
            };
            let newest = LoadHistory { session_id, before: None, limit: MAX_EXCHANGES };
            let read = async move |link: &mut Connection| {
                let page = queries::load_turns(link, &newest).await?;
                Ok((page, queries::asked_since(link, session_id, since).await?))
            };
            let (page, asked) = pool.run(read).await?;
            Ok(Resumption::Resumed(StoredSession { epoch, turns: page.turns, more: page.more, asked }))
        })
    }
}

impl Handler<LoadHistory> for PersistenceActor {
    type Result = ResponseFuture<Result<TranscriptPage, StorageError>>;

    fn handle(&mut self, load: LoadHistory, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool.clone();
        Box::pin(async move {
            pool.run(async move |link: &mut Connection| queries::load_turns(link, &load).await).await
        })
    }
}

impl Handler<FindTurn> for PersistenceActor {
    type Result = ResponseFuture<Result<Option<StoredTurn>, StorageError>>;

    fn handle(&mut self, find: FindTurn, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool.clone();
        Box::pin(async move {
            let operation = async move |link: &mut Connection| {
                queries::find_turn(link, find.session_id, &find.client_id).await
            };
            pool.run(operation).await
        })
    }
}

impl Handler<CheckStorage> for PersistenceActor {
    type Result = ResponseFuture<Result<Duration, StorageError>>;

    fn handle(&mut self, _: CheckStorage, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool.clone();
        Box::pin(async move {
            let started = Instant::now();
            pool.run(queries::ping).await?;
            Ok(started.elapsed())
        })
    }
}

impl Handler<CheckWriter> for PersistenceActor {
    type Result = WriterReport;

    fn handle(&mut self, _: CheckWriter, _: &mut Self::Context) -> Self::Result {
        WriterReport {
            away: self.condition.away.load(Ordering::Relaxed),
            waiting: self.jobs.max_capacity() - self.jobs.capacity(),
            groups: self.condition.groups.load(Ordering::Relaxed),
            writes: self.condition.writes.load(Ordering::Relaxed),
        }
    }
}

impl Handler<FlushStorage> for PersistenceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: FlushStorage, _: &mut Self::Context) -> Self::Result {
        let written = self.write(Write::Barrier);
        Box::pin(async move {
            // The asker bounds the wait; a buffer that is full says no more than that time is short.
            let _ = written.await;
        })
    }
}
