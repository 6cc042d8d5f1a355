//! What a panic comes to: it ends a task, a connection or one incarnation of an actor, never the process.
//!
//! actix restarts an actor that stops, not one that panics: its context is dropped with its mailbox, and whoever asks it
//! hears for ever that it is gone. So the four kinds of places in which our code runs are each caught:
//!
//! - A shared actor runs in a [`supervisor`]. All that is polled in its context (messages, timers, streams) is caught
//!   there; the actor is made anew behind the same mailbox, and what waits in it is served. Too many panics in a short
//!   time ([`restart_limit`]) make the process leave.
//! - A reply that is waited for ([`Reply::Later`](crate::mailbox::Reply)), the task of an answer, an operation on the
//!   database: [`caught`], for whoever waits to tell.
//! - A task for life (the writer, the watchdog): [`Supervision::keep`], which begins it again.
//! - A session: `session::containment`, which ends its own connection and nothing else.
//!
//! [`panics`] is how a panic is seen. Its message may quote a visitor, so only what was written in the source is told of
//! it, and where it happened. What is absent: nobody else catches panics, and nothing of ours is started without one of these.

pub mod panics;
pub mod restart_limit;
pub mod supervisor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Logger, error};
use tokio::sync::watch;
use tokio::time::Instant;

pub use panics::{Panic, catch, caught};
use restart_limit::{RestartLimit, Verdict};

use crate::telemetry::metrics::Metrics;

/// The parts of the server that a panic may end, as the log and the metrics call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A visitor's connection.
    Session,
    /// The model's actor.
    Llm,
    /// The task of one answer.
    Answer,
    /// The store's actor, and reading.
    Persistence,
    /// The task that commits.
    Writer,
    /// The actor that asks the others how they are.
    Health,
    /// The task that ends connections whose reader has stopped.
    Watchdog,
    /// The task that looks whether sessions were resumed at another server.
    Succession,
    /// The task that asks for costs that are told later.
    CostCollector,
    /// A request over HTTP.
    Http,
    /// Anything else, such as a thread of a library.
    Other,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 11] = [
        Self::Session,
        Self::Llm,
        Self::Answer,
        Self::Persistence,
        Self::Writer,
        Self::Health,
        Self::Watchdog,
        Self::Succession,
        Self::CostCollector,
        Self::Http,
        Self::Other,
    ];

    /// Those that are made anew.
    pub const RESTARTED: [Self; 7] = [
        Self::Llm,
        Self::Persistence,
        Self::Writer,
        Self::Health,
        Self::Watchdog,
        Self::Succession,
        Self::CostCollector,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Llm => "llm",
            Self::Answer => "answer",
            Self::Persistence => "persistence",
            Self::Writer => "writer",
            Self::Health => "health",
            Self::Watchdog => "watchdog",
            Self::Succession => "succession",
            Self::CostCollector => "cost_collector",
            Self::Http => "http",
            Self::Other => "other",
        }
    }

    /// Whether whoever catches it writes its line of the log, because they know whose request it was.
    const fn is_logged_by_its_catcher(self) -> bool {
        matches!(self, Self::Session | Self::Answer | Self::Http)
    }
}

/// Knows of every panic, and whether the process can go on.
#[derive(Debug)]
pub struct Supervision {
    metrics: Arc<Metrics>,
    log: Logger,
    newest: Mutex<BTreeMap<Part, Panic>>,
    beyond_repair: watch::Sender<Option<Part>>,
}

impl Supervision {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, log: Logger) -> Arc<Self> {
        Arc::new(Self { metrics, log, newest: Mutex::default(), beyond_repair: watch::Sender::new(None) })
    }

    /// Is told of every panic of the process from now on, instead of standard error: there, the message would be
    /// written whole.
    pub fn witness_panics(self: &Arc<Self>) {
        let supervision = Arc::clone(self);
        panics::on_panic(move |part, panic| supervision.note(part, panic));
    }

    /// The panic of this part that was last, if there was one.
    #[must_use]
    pub fn newest(&self, part: Part) -> Option<Panic> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(&part).cloned()
    }

    /// The part that panicked too often, if one did: the process is about to leave.
    #[must_use]
    pub fn beyond_repair(&self) -> Option<Part> {
        *self.beyond_repair.borrow()
    }

    /// Resolves when a part has panicked too often.
    pub async fn is_beyond_repair(&self) -> Part {
        let mut parts = self.beyond_repair.subscribe();
        match parts.wait_for(Option::is_some).await.map(|part| *part) {
            Ok(Some(part)) => part,
            // The sender is in `self`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Runs a task that must live as long as the process, and begins it again when it panics. It ends when the task
    /// does, or after too many panics.
    pub async fn keep(self: Arc<Self>, part: Part, mut task: impl AsyncFnMut()) {
        let mut limit = RestartLimit::default();
        while caught(part, task()).await.is_err() {
            if !self.may_restart(part, &mut limit) {
                return;
            }
        }
    }

    /// Counts a restart and says whether it may be: see [`RestartLimit`].
    fn may_restart(&self, part: Part, limit: &mut RestartLimit) -> bool {
        let verdict = limit.panicked(Instant::now().into_std());
        if verdict != Verdict::Restart {
            self.beyond_repair.send_if_modified(|known| known.is_none() && known.replace(part).is_none());
        }
        if verdict == Verdict::Stop {
            error!(self.log, "panicked too often, and is not begun again"; "actor" => part.as_str());
            return false;
        }
        self.metrics.actor.restarted(part);
        true
    }

    /// In the panicking thread, before anything is unwound: whoever waits for it finds the panic noted.
    fn note(&self, part: Part, panic: Panic) {
        self.metrics.actor.panicked(part);
        if !part.is_logged_by_its_catcher() {
            error!(self.log, "panicked"; "actor" => part.as_str(), &panic);
        }
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).insert(part, panic);
    }
}
