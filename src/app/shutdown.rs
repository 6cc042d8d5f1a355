//! The order of leaving: nobody new, answers finished or saved, sockets closed, the store flushed.

use std::time::Duration;

use rustix::process::Signal as SystemSignal;
use slog::{error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::app::startup::Application;
use crate::domain::component::Component;
use crate::llm::messages::FinishAnswers;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::FlushStorage;
use crate::session::SessionOrder;

/// How long sockets get to take their close frames.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store gets for the last writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Everything was brought to its end.
    Orderly,
    /// A second signal came meanwhile.
    AtOnce,
    /// This part had panicked too often; everything else was brought to its end.
    BeyondRepair(Component),
}

impl Application {
    /// Serves until a signal says to leave, or a part has panicked too often, then leaves in order; a second signal ends
    /// that.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(mut self, answers_within: Duration) -> std::io::Result<Departure> {
        let signals = &mut self.signals;
        let handle = self.server.handle();
        let mut server = std::pin::pin!(self.server);
        let departure = tokio::select! {
            result = &mut server => return result.map(|()| Departure::Orderly),
            name = signals.next() => {
                info!(self.log, "leaving"; "signal" => name);
                Departure::Orderly
            }
            part = self.supervision.is_beyond_repair() => {
                error!(self.log, "leaving, because a part panicked too often"; "actor" => part.as_str());
                Departure::BeyondRepair(part)
            }
        };
        let orderly = async {
            self.registry.close();
            self.registry.broadcast(SessionOrder::Draining);
            let finish = FinishAnswers { within: answers_within };
            if self.finish_answers.ask(finish, answers_within + STORE_TIMEOUT * 3).await.is_err() {
                warn!(self.log, "answers could not be finished in time");
            }
            self.registry.broadcast(SessionOrder::Leave);
            if timeout(CLOSING_TIMEOUT, self.registry.emptied()).await.is_err() {
                warn!(self.log, "connections did not close in time"; "count" => self.registry.open());
            }
            if self.flush_storage.ask(FlushStorage, FLUSH_TIMEOUT).await.is_err() {
                warn!(self.log, "the store did not confirm the last writes in time");
            }
            let (_, _) = tokio::join!(handle.stop(true), &mut server);
            if let Some(operator) = self.operator {
                operator.stop(false).await;
            }
            info!(self.log, "left");
        };
        let on_top = async {
            if departure != Departure::Orderly {
                // The first signal asks for what is under way already.
                let name = signals.next().await;
                info!(self.log, "leaving"; "signal" => name);
            }
            signals.next().await
        };
        tokio::select! {
            () = orderly => Ok(departure),
            name = on_top => {
                warn!(self.log, "leaving at once"; "signal" => name);
                Ok(Departure::AtOnce)
            }
        }
    }
}

/// The signals that say to leave.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Nobody listens to it. Taken over, a file that may not grow (`ulimit -f`) is an error of the write, by which SQLite is
    /// away for a while, instead of the end of the process.
    _file_too_large: Signal,
}

impl Signals {
    /// Takes the signals over: from here on they end the process only in order.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(SystemSignal::XFSZ.as_raw()))?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
