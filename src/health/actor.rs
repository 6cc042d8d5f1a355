//! The actor that runs the health checks.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, join3};
use tokio::time::Instant;

use super::checks::{Finding, Findings, TimedReply, actors, database, llm};
use super::{CheckHealth, HealthParts, HealthReport, HealthStatus};
use crate::domain::component::Component;
use crate::impl_mailbox;
use crate::llm::messages::CheckModel;
use crate::mailbox::{AskError, Handle, Mailbox, Reply};
use crate::persistence::messages::{CheckStorage, CheckWriter};
use crate::system::failpoints::{self, Failpoint};

/// How often the checks run without a request.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The timeout of a check. The checks run concurrently, so a report takes no longer than the
/// slowest check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How old a run in progress may be for another request to share it. Many simultaneous probes then
/// cost one query, and no report is based on a much older state.
const MAX_SHARED_AGE: Duration = Duration::from_millis(250);

/// The mailbox capacity. Each request receives the newest report or waits for the run in progress.
const MAILBOX_CAPACITY: usize = 256;

type CheckRun = Shared<LocalBoxFuture<'static, Arc<Findings>>>;

/// Runs the health checks and keeps their newest results.
pub struct HealthActor {
    checker: Arc<Checker>,
    newest: Option<Arc<Findings>>,
    last_run: Option<StartedRun>,
}

/// A run of the checks.
struct StartedRun {
    started_at: Instant,
    run: CheckRun,
}

/// Runs the checks and reports their results.
struct Checker {
    parts: HealthParts,
    /// When the server started.
    started_at: Instant,
}

impl HealthActor {
    /// Returns an actor without results.
    #[must_use]
    pub fn new(parts: HealthParts) -> Self {
        let checker = Arc::new(Checker { parts, started_at: Instant::now() });
        Self { checker, newest: None, last_run: None }
    }

    /// Starts the checks, or shares a run that was started recently and is still in progress.
    fn start_checks(&mut self, ctx: &mut Context<Self>) -> CheckRun {
        if let Some(StartedRun { started_at, run }) = &self.last_run
            && started_at.elapsed() < MAX_SHARED_AGE
            && run.peek().is_none()
        {
            return run.clone();
        }
        let run = Arc::clone(&self.checker).run().boxed_local().shared();
        self.last_run = Some(StartedRun { started_at: Instant::now(), run: run.clone() });
        ctx.spawn(run.clone().into_actor(self).map(|findings, actor, _| {
            if actor.newest.as_ref().is_none_or(|newest| newest.started_at < findings.started_at) {
                actor.newest = Some(findings);
            }
        }));
        run
    }
}

impl Checker {
    async fn run(self: Arc<Self>) -> Arc<Findings> {
        failpoints::hit(Failpoint::HealthCheck, "");
        let parts = &self.parts;
        let started_at = Instant::now();
        let storage = timed(started_at, parts.storage.ask(CheckStorage, CHECK_TIMEOUT));
        let writer = timed(started_at, parts.writer.ask(CheckWriter, CHECK_TIMEOUT));
        let model = timed(started_at, parts.model.ask(CheckModel, CHECK_TIMEOUT));
        let (storage, writer, model) = join3(storage, writer, model).await;
        Arc::new(Findings {
            started_at,
            actors: actors(&writer, &model),
            database: database(storage, &writer),
            llm: llm(model),
        })
    }

    fn report(&self, findings: &Findings) -> HealthReport {
        let age = findings.started_at.elapsed();
        let mut actors = findings.actors.to_check(age);
        let mailboxes = &self.parts.metrics.mailboxes;
        let shared_actors = mailboxes.actors().into_iter().filter(|actor| *actor != "session");
        actors.mailboxes = Some(shared_actors.map(|actor| (actor, mailboxes.depth_of(actor))).collect());
        if let Some(component) = self.parts.supervision.restart_limit_exceeded() {
            actors.status = HealthStatus::Unhealthy;
            actors.detail = format!("{} panicked too often; the server is shutting down", component.as_str());
        }
        let checks = [
            ("actors", actors),
            ("budget", self.budget().to_check(Duration::ZERO)),
            ("database", findings.database.to_check(age)),
            ("llm", findings.llm.to_check(age)),
            ("resume", self.resume().to_check(self.started_at.elapsed())),
            ("sessions", self.sessions().to_check(Duration::ZERO)),
        ];
        let status = checks.iter().map(|(_, check)| check.status).max().unwrap_or(HealthStatus::Healthy);
        HealthReport {
            status,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started_at.elapsed().as_secs(),
            checks: checks.into(),
        }
    }

    /// The resume is read only at start-up.
    fn resume(&self) -> Finding {
        Finding::new(HealthStatus::Healthy, self.parts.resume.as_str(), Duration::ZERO)
    }

    /// The most that a day can cost.
    fn budget(&self) -> Finding {
        let detail = match &self.parts.budget {
            Some(budget) => budget.ceiling().to_string(),
            None => "no model, so that answers cost nothing".to_owned(),
        };
        Finding::new(HealthStatus::Healthy, detail, Duration::ZERO)
    }

    fn sessions(&self) -> Finding {
        let started_at = Instant::now();
        let registry = &self.parts.registry;
        let (status, detail) = match registry.is_closed() {
            true => (HealthStatus::Unhealthy, "the server is shutting down".to_owned()),
            false => (HealthStatus::Healthy, format!("{} connections", registry.connection_count())),
        };
        Finding::new(status, detail, started_at.elapsed())
    }
}

/// Waits for a reply to a request that was sent at `started_at`.
async fn timed<T>(started_at: Instant, request: impl Future<Output = Result<T, AskError>>) -> TimedReply<T> {
    let reply = request.await;
    TimedReply { reply, elapsed: started_at.elapsed() }
}

impl_mailbox!(HealthActor, Component::Health, MAILBOX_CAPACITY);

impl Actor for HealthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        // The run continues in the actor when the returned handle is dropped.
        drop(self.start_checks(ctx));
        ctx.run_interval(CHECK_INTERVAL, |actor, ctx| {
            drop(actor.start_checks(ctx));
        });
    }
}

impl Supervised for HealthActor {
    /// Drops all results; `started` runs the checks again.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self { checker: Arc::clone(&self.checker), newest: None, last_run: None };
    }
}

impl Handle<CheckHealth> for HealthActor {
    fn handle(&mut self, request: CheckHealth, ctx: &mut Self::Context) -> Reply<HealthReport> {
        failpoints::hit(Failpoint::HealthReceive, "");
        if let (false, Some(newest)) = (request.deep, &self.newest) {
            return Reply::Now(self.checker.report(newest));
        }
        let run = self.start_checks(ctx);
        let checker = Arc::clone(&self.checker);
        Reply::later(async move { checker.report(&*run.await) })
    }
}
