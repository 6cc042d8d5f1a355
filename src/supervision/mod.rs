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

use crate::domain::component::Component;
use crate::telemetry::metrics::Metrics;

/// Returns whether the code that catches a panic of this component logs it, with the request it belongs to.
const fn is_logged_by_catcher(component: Component) -> bool {
    matches!(component, Component::Session | Component::Answer | Component::Http)
}

/// Knows of every panic, and whether the process can go on.
#[derive(Debug)]
pub struct Supervision {
    metrics: Arc<Metrics>,
    log: Logger,
    newest: Mutex<BTreeMap<Component, Panic>>,
    beyond_repair: watch::Sender<Option<Component>>,
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
    pub fn newest(&self, part: Component) -> Option<Panic> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(&part).cloned()
    }

    /// The part that panicked too often, if one did: the process is about to leave.
    #[must_use]
    pub fn beyond_repair(&self) -> Option<Component> {
        *self.beyond_repair.borrow()
    }

    /// Resolves when a part has panicked too often.
    pub async fn is_beyond_repair(&self) -> Component {
        let mut parts = self.beyond_repair.subscribe();
        match parts.wait_for(Option::is_some).await.map(|part| *part) {
            Ok(Some(part)) => part,
            // The sender is in `self`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Runs a task that must live as long as the process, and begins it again when it panics. It ends when the task
    /// does, or after too many panics.
    pub async fn keep(self: Arc<Self>, part: Component, mut task: impl AsyncFnMut()) {
        let mut limit = RestartLimit::default();
        while caught(part, task()).await.is_err() {
            if !self.may_restart(part, &mut limit) {
                return;
            }
        }
    }

    /// Counts a restart and says whether it may be: see [`RestartLimit`].
    fn may_restart(&self, part: Component, limit: &mut RestartLimit) -> bool {
        let verdict = limit.panicked(Instant::now().into_std());
        if verdict != Verdict::Restart {
            self.beyond_repair.send_if_modified(|known| known.is_none() && known.replace(part).is_none());
        }
        if verdict == Verdict::Stop {
            error!(self.log, "panicked too often, and is not begun again"; "actor" => part.as_str());
            return false;
        }
        self.metrics.actor.count_restart(part);
        true
    }

    /// In the panicking thread, before anything is unwound: whoever waits for it finds the panic noted.
    fn note(&self, part: Component, panic: Panic) {
        self.metrics.actor.count_panic(part);
        if !is_logged_by_catcher(part) {
            error!(self.log, "panicked"; "actor" => part.as_str(), &panic);
        }
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).insert(part, panic);
    }
}
