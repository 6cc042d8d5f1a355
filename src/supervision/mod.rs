//! Panic handling: a panic ends one task, connection or actor instance, never the process.
//!
//! actix restarts an actor that stops, but not one that panics: its context is dropped with its
//! mailbox, and every later request fails. Therefore panics are caught in four kinds of places:
//!
//! - A shared actor runs in a [`supervisor`], which catches everything that is polled in its
//!   context (messages, timers, streams). The actor is restarted behind the same mailbox, and the
//!   messages in it are handled. Too many panics in a short time ([`restart_limit`]) make the
//!   process exit.
//! - A deferred reply ([`Reply::Later`](crate::mailbox::Reply)), the task of an answer and a
//!   database operation run in [`catch_panic`], which returns the panic to the caller.
//! - A task that runs as long as the process (the writer, the watchdog) runs in
//!   [`Supervision::supervise_task`], which restarts it.
//! - A session runs in `session::connection::panic_guard`, which closes its connection.
//!
//! [`crate::system::panics`] installs the panic hook. Only the location of a panic and a message
//! that is a literal of the source are recorded, because a formatted message can quote a visitor.
//! No other module catches panics, and every task runs in one of these places.

pub mod restart_limit;
pub mod supervisor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use slog::{Logger, error};
use tokio::sync::watch;

use restart_limit::{RestartDecision, RestartLimit};

use crate::domain::component::Component;
use crate::system::panics::{self, Panic, catch_panic};
use crate::telemetry::metrics::Metrics;

/// Returns whether the code that catches a panic of this component logs it, with the request it
/// belongs to.
const fn is_logged_by_catcher(component: Component) -> bool {
    matches!(component, Component::Session | Component::Answer | Component::Http)
}

/// Records every panic of the process, and whether a component has exceeded its restart limit.
#[derive(Debug)]
pub struct Supervision {
    metrics: Arc<Metrics>,
    log: Logger,
    last_panics: Mutex<BTreeMap<Component, Panic>>,
    limit_exceeded_by: watch::Sender<Option<Component>>,
}

impl Supervision {
    /// Returns a supervision without any recorded panic.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, log: Logger) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            log,
            last_panics: Mutex::default(),
            limit_exceeded_by: watch::Sender::new(None),
        })
    }

    /// Records every panic of the process from now on. Replaces the hook of the standard library,
    /// which would write the whole message to standard error.
    pub fn install_panic_hook(self: &Arc<Self>) {
        let supervision = Arc::clone(self);
        panics::set_panic_hook(move |component, panic| supervision.record_panic(component, panic));
    }

    /// Returns the last panic of a component.
    #[must_use]
    pub fn last_panic(&self, component: Component) -> Option<Panic> {
        self.last_panics.lock().unwrap_or_else(PoisonError::into_inner).get(&component).cloned()
    }

    /// Returns the component that exceeded its restart limit, if any. The process is about to exit
    /// then.
    #[must_use]
    pub fn restart_limit_exceeded(&self) -> Option<Component> {
        *self.limit_exceeded_by.borrow()
    }

    /// Resolves when a component has exceeded its restart limit.
    pub async fn wait_for_restart_limit(&self) -> Component {
        let mut components = self.limit_exceeded_by.subscribe();
        match components.wait_for(Option::is_some).await.map(|component| *component) {
            Ok(Some(component)) => component,
            // Cannot happen: `self` owns the sender.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Runs a task that must live as long as the process, and restarts it when it panics. Returns
    /// when the task does, or when the restart limit is exceeded.
    pub async fn supervise_task(self: Arc<Self>, component: Component, mut task: impl AsyncFnMut()) {
        let mut limit = RestartLimit::default();
        while catch_panic(component, task()).await.is_err() {
            if !self.may_restart(component, &mut limit) {
                return;
            }
        }
    }

    /// Counts a panic and returns whether the component may be restarted; see [`RestartLimit`].
    fn may_restart(&self, component: Component, limit: &mut RestartLimit) -> bool {
        let decision = limit.record_panic(Instant::now());
        if decision != RestartDecision::Restart {
            self.limit_exceeded_by
                .send_if_modified(|known| known.is_none() && known.replace(component).is_none());
        }
        if decision == RestartDecision::Stop {
            error!(self.log, "restart limit exceeded, not restarting"; "actor" => component.as_str());
            return false;
        }
        self.metrics.actor.count_restart(component);
        true
    }

    /// Records a panic. Runs in the panicking thread before it unwinds, so that code which waits
    /// for that thread finds the panic recorded.
    fn record_panic(&self, component: Component, panic: Panic) {
        self.metrics.actor.count_panic(component);
        if !is_logged_by_catcher(component) {
            error!(self.log, "panicked"; "actor" => component.as_str(), &panic);
        }
        self.last_panics.lock().unwrap_or_else(PoisonError::into_inner).insert(component, panic);
    }
}
