//! The actor that asks the others how they are.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Supervised, WrapFuture};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, join3};
use tokio::time::Instant;

use super::checks::{Finding, Newest, actors, answers, database};
use super::{Check, CheckHealth, HealthParts, HealthReport, HealthStatus};
use crate::domain::component::Component;
use crate::impl_mailbox;
use crate::llm::messages::CheckModel;
use crate::mailbox::{Handle, Mailbox, Reply};
use crate::persistence::messages::{CheckStorage, CheckWriter};
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

/// How often the checks are renewed without being asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a check may take before it counts as failed. The checks run beside each other, so a report takes no longer
/// than one of them, whatever hangs.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How old checks under way may be for another asker to share them: a crowd of probes costs one query, and yet nobody
/// is told of a time long before the question.
const SHARED_FOR: Duration = Duration::from_millis(250);

/// Askers that may wait to be taken; each then gets the newest report or waits for the checks under way.
const MAILBOX_CAPACITY: usize = 256;

type Probe = Shared<LocalBoxFuture<'static, Arc<Newest>>>;

/// Knows how the server is.
pub struct HealthActor {
    about: Arc<About>,
    newest: Option<Arc<Newest>>,
    /// The checks that were begun last, and when.
    begun: Option<(Instant, Probe)>,
}

/// What checks need, and what a report says beside them.
struct About {
    parts: HealthParts,
    started_at: Instant,
}

impl HealthActor {
    /// An actor that has not looked yet.
    #[must_use]
    pub fn new(parts: HealthParts) -> Self {
        let about = Arc::new(About { parts, started_at: Instant::now() });
        Self { about, newest: None, begun: None }
    }

    /// Begins the checks, unless some were begun just now and are under way.
    fn probe(&mut self, ctx: &mut Context<Self>) -> Probe {
        if let Some((begun_at, probe)) = &self.begun
            && begun_at.elapsed() < SHARED_FOR
            && probe.peek().is_none()
        {
            return probe.clone();
        }
        let probe = Arc::clone(&self.about).check().boxed_local().shared();
        self.begun = Some((Instant::now(), probe.clone()));
        ctx.spawn(probe.clone().into_actor(self).map(|found, actor, _| {
            if actor.newest.as_ref().is_none_or(|newest| newest.asked_at < found.asked_at) {
                actor.newest = Some(found);
            }
        }));
        probe
    }
}

impl About {
    async fn check(self: Arc<Self>) -> Arc<Newest> {
        failpoints::hit(Failpoint::HealthCheck, "");
        let parts = &self.parts;
        let asked_at = Instant::now();
        let storage = parts.storage.ask(CheckStorage, CHECK_TIMEOUT).map(|reply| (reply, asked_at.elapsed()));
        let writer = parts.writer.ask(CheckWriter, CHECK_TIMEOUT).map(|reply| (reply, asked_at.elapsed()));
        let model = parts.model.ask(CheckModel, CHECK_TIMEOUT).map(|reply| (reply, asked_at.elapsed()));
        let (storage, writer, model) = join3(storage, writer, model).await;
        Arc::new(Newest {
            asked_at,
            actors: actors(&writer, &model),
            database: database(storage, &writer),
            llm: answers(model),
        })
    }

    fn report(&self, newest: &Newest) -> HealthReport {
        let age = newest.asked_at.elapsed();
        let mut actors = told(&newest.actors, age);
        let mailboxes = &self.parts.metrics.mailboxes;
        let depths = mailboxes.actors().into_iter().filter(|actor| *actor != "session");
        actors.mailboxes = Some(depths.map(|actor| (actor, mailboxes.depth_of(actor))).collect());
        if let Some(part) = self.parts.supervision.restart_limit_exceeded() {
            actors.status = HealthStatus::Unhealthy;
            actors.detail = format!("{} panicked too often; the server leaves", part.as_str());
        }
        let read = (HealthStatus::Healthy, self.parts.resume.clone(), Duration::ZERO);
        let checks = [
            ("actors", actors),
            ("database", told(&newest.database, age)),
            ("llm", told(&newest.llm, age)),
            // It is read once, at start.
            ("resume", told(&read, self.started_at.elapsed())),
            ("sessions", told(&self.sessions(), Duration::ZERO)),
        ];
        let status = checks.iter().map(|(_, check)| check.status).max().unwrap_or(HealthStatus::Healthy);
        HealthReport {
            status,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started_at.elapsed().as_secs(),
            checks: checks.into(),
        }
    }

    fn sessions(&self) -> Finding {
        let asked_at = Instant::now();
        let (status, detail) = match self.parts.registry.is_closed() {
            true => (HealthStatus::Unhealthy, "the server is leaving".to_owned()),
            false => {
                (HealthStatus::Healthy, format!("{} connections", self.parts.registry.connection_count()))
            }
        };
        (status, detail, asked_at.elapsed())
    }
}

impl_mailbox!(HealthActor, Component::Health, MAILBOX_CAPACITY);

impl Actor for HealthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(Self::CAPACITY);
        // They run in the actor, whoever waits for them.
        drop(self.probe(ctx));
        ctx.run_interval(PROBE_INTERVAL, |actor, ctx| {
            drop(actor.probe(ctx));
        });
    }
}

impl Supervised for HealthActor {
    /// Everything it knows is asked for again.
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self { about: Arc::clone(&self.about), newest: None, begun: None };
    }
}

impl Handle<CheckHealth> for HealthActor {
    fn handle(&mut self, ask: CheckHealth, ctx: &mut Self::Context) -> Reply<HealthReport> {
        failpoints::hit(Failpoint::HealthReceive, "");
        if let (false, Some(newest)) = (ask.deep, &self.newest) {
            return Reply::Now(self.about.report(newest));
        }
        let probe = self.probe(ctx);
        let about = Arc::clone(&self.about);
        Reply::later(async move { about.report(&*probe.await) })
    }
}

fn told((status, detail, latency): &Finding, age: Duration) -> Check {
    let millis = |it: Duration| (it.as_secs_f64() * 1e6).round() / 1e3;
    Check {
        status: *status,
        detail: detail.clone(),
        latency_ms: millis(*latency),
        age_ms: millis(age),
        mailboxes: None,
    }
}
