//! The actor that asks the others how they are.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, ResponseActFuture, WrapFuture,
};
use tokio::time::Instant;

use super::{Check, CheckHealth, HealthParts, HealthReport, HealthStatus};
use crate::clock::Timestamp;
use crate::llm::messages::{CheckModel, ModelCondition};
use crate::persistence::StorageError;
use crate::persistence::messages::{CheckStorage, CheckWriter, WriterReport};
use crate::protocol::server::AnswerMode;

/// How often the checks are renewed without being asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long failures count.
const FAILURE_MEMORY: Duration = Duration::from_secs(60);

/// Answers in a row that failed before the model counts as unwell.
const FAILURES_THAT_DEGRADE: u32 = 5;

type StorageReply = Result<Result<Duration, StorageError>, MailboxError>;
type WriterReply = Result<WriterReport, MailboxError>;
type ModelReply = Result<ModelCondition, MailboxError>;

/// The newest results of the checks.
#[derive(Clone)]
struct Newest {
    database: Check,
    llm: Check,
    actors: Check,
}

/// Knows how the server is.
pub struct HealthActor {
    parts: HealthParts,
    started_at: Instant,
    newest: Option<Newest>,
}

impl HealthActor {
    /// An actor that has not looked yet.
    #[must_use]
    pub fn new(parts: HealthParts) -> Self {
        Self { parts, started_at: Instant::now(), newest: None }
    }

    fn probe(&self) -> impl Future<Output = Newest> + use<> {
        let storage = self.parts.storage.send(CheckStorage).timeout(CHECK_TIMEOUT);
        let writer = self.parts.writer.send(CheckWriter).timeout(CHECK_TIMEOUT);
        let model = self.parts.model.send(CheckModel).timeout(CHECK_TIMEOUT);
        let mode = self.parts.mode;
        async move {
            let asked_at = Instant::now();
            let ping = async { (futures_util::future::join(writer, model).await, asked_at.elapsed()) };
            let (storage, ((writer, model), took)) = futures_util::future::join(storage, ping).await;
            let actors = actors(&writer, &model, took);
            Newest { database: database(storage), llm: answers(model, mode), actors }
        }
    }

    fn report(&self) -> HealthReport {
        let mut checks = BTreeMap::new();
        match &self.newest {
            None => {
                checks.insert("database", check(HealthStatus::Unhealthy, "not checked yet", None));
            }
            Some(Newest { database, llm, actors }) => {
                checks.insert("database", database.clone());
                checks.insert("llm", llm.clone());
                checks.insert("actors", actors.clone());
            }
        }
        checks.insert("resume", check(HealthStatus::Healthy, self.parts.resume.clone(), None));
        let leaving = self.parts.registry.is_closed();
        let sessions = match leaving {
            true => check(HealthStatus::Unhealthy, "the server is leaving", None),
            false => {
                check(HealthStatus::Healthy, format!("{} connections", self.parts.registry.open()), None)
            }
        };
        checks.insert("sessions", sessions);
        let status = checks.values().map(|check| check.status).max().unwrap_or(HealthStatus::Healthy);
        HealthReport {
            status,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started_at.elapsed().as_secs(),
            checks,
        }
    }
}

impl Actor for HealthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let tick = |actor: &mut Self, ctx: &mut Context<Self>| {
            ctx.spawn(actor.probe().into_actor(actor).map(|newest, actor, _| actor.newest = Some(newest)));
        };
        tick(self, ctx);
        ctx.run_interval(PROBE_INTERVAL, tick);
    }
}

impl Handler<CheckHealth> for HealthActor {
    type Result = ResponseActFuture<Self, HealthReport>;

    fn handle(&mut self, ask: CheckHealth, _: &mut Self::Context) -> Self::Result {
        if !ask.deep && self.newest.is_some() {
            let report = self.report();
            return Box::pin(std::future::ready(report).into_actor(self));
        }
        Box::pin(self.probe().into_actor(self).map(|newest, actor, _| {
            actor.newest = Some(newest);
            actor.report()
        }))
    }
}

fn check(status: HealthStatus, detail: impl Into<String>, latency: Option<Duration>) -> Check {
    let latency_ms = latency.map(|it| (it.as_secs_f64() * 1e6).round() / 1e3);
    Check { status, detail: detail.into(), latency_ms }
}

fn database(reply: StorageReply) -> Check {
    match reply {
        Ok(Ok(latency)) => check(HealthStatus::Healthy, "a query was answered", Some(latency)),
        // What failed is in the log; a health page may be public.
        Ok(Err(_)) => check(HealthStatus::Unhealthy, "no query is answered", None),
        Err(MailboxError::Timeout) => check(HealthStatus::Unhealthy, "no answer in time", None),
        Err(MailboxError::Closed) => check(HealthStatus::Unhealthy, "the persistence actor is gone", None),
    }
}

/// Whether every shared actor takes messages out of its mailbox, whatever it has to say.
fn actors(writer: &WriterReply, model: &ModelReply, took: Duration) -> Check {
    let silent: Vec<&str> = [("persistence", writer.is_err()), ("llm", model.is_err())]
        .iter()
        .filter(|it| it.1)
        .map(|it| it.0)
        .collect();
    match silent.as_slice() {
        [] => check(HealthStatus::Healthy, "every actor answered", Some(took)),
        silent => check(HealthStatus::Unhealthy, format!("no answer from {}", silent.join(", ")), None),
    }
}

fn answers(reply: ModelReply, mode: AnswerMode) -> Check {
    match reply {
        // Once it is long ago somebody has to try: an instance that gets no visitors would stay unwell for ever.
        Ok(condition)
            if condition.failures_in_a_row >= FAILURES_THAT_DEGRADE
                && Timestamp::now().since(condition.last_failed_at) < FAILURE_MEMORY =>
        {
            let failures = condition.failures_in_a_row;
            check(HealthStatus::Degraded, format!("the last {failures} answers failed"), None)
        }
        Ok(ModelCondition { answering, waiting, .. }) => {
            let mode = mode.as_str();
            check(HealthStatus::Healthy, format!("{mode}: {answering} answering, {waiting} waiting"), None)
        }
        Err(MailboxError::Timeout) => check(HealthStatus::Unhealthy, "no answer in time", None),
        Err(MailboxError::Closed) => check(HealthStatus::Unhealthy, "the llm actor is gone", None),
    }
}
