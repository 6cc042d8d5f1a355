//! Runs the server until a signal or a restart limit stops it, then shuts down in order: it rejects
//! new sessions, finishes or saves the answers, closes the sockets and flushes the store.

use std::time::Duration;

use slog::{error, info, warn};
use tokio::time::timeout;

use crate::app::signals::Signals;
use crate::app::startup::Application;
use crate::domain::component::Component;
use crate::llm::messages::FinishAnswers;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::FlushStorage;
use crate::session::SessionCommand;

/// How long the sockets may take to send their close frames.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store may take to commit the last writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// A signal; the shutdown completed.
    Graceful,
    /// A second signal, during the shutdown.
    Forced,
    /// This component panicked too often; the shutdown completed.
    RestartLimit(Component),
}

impl Application {
    /// Serves until a signal arrives or a component exceeds its restart limit, then shuts down. A
    /// second signal aborts the shutdown. Unfinished answers may take up to `answer_timeout`.
    ///
    /// # Errors
    /// Returns an error if the listener fails.
    pub async fn run(mut self, answer_timeout: Duration) -> std::io::Result<ExitReason> {
        let handle = self.server.handle();
        let mut server = std::pin::pin!(self.server);
        let reason = tokio::select! {
            result = &mut server => return result.map(|()| ExitReason::Graceful),
            name = self.signals.next() => {
                info!(self.log, "shutting down"; "signal" => name);
                ExitReason::Graceful
            }
            component = self.supervision.wait_for_restart_limit() => {
                error!(self.log, "shutting down, a component exceeded its restart limit";
                    "actor" => component.as_str());
                ExitReason::RestartLimit(component)
            }
        };
        let shutdown = async {
            self.registry.close();
            // Sent before the announcement, so that no question after the announcement is accepted.
            let finish = FinishAnswers { within: answer_timeout };
            let finished = self.finish_answers.ask(finish, answer_timeout + STORE_TIMEOUT * 3);
            self.registry.broadcast(SessionCommand::AnnounceShutdown);
            if finished.await.is_err() {
                warn!(self.log, "answers did not finish in time");
            }
            self.registry.broadcast(SessionCommand::CloseForShutdown);
            if timeout(CLOSE_TIMEOUT, self.registry.wait_until_empty()).await.is_err() {
                warn!(self.log, "connections did not close in time"; "count" => self.registry.connection_count());
            }
            if self.flush_storage.ask(FlushStorage, FLUSH_TIMEOUT).await.is_err() {
                warn!(self.log, "the store did not confirm the last writes in time");
            }
            let (_, _) = tokio::join!(handle.stop(true), &mut server);
            if let Some(operator_server) = self.operator_server {
                operator_server.stop(false).await;
            }
            info!(self.log, "shutdown complete");
        };
        tokio::select! {
            () = shutdown => Ok(reason),
            name = forcing_signal(&mut self.signals, reason, &self.log) => {
                warn!(self.log, "second signal, forcing exit"; "signal" => name);
                Ok(ExitReason::Forced)
            }
        }
    }
}

/// Waits for the signal that aborts the shutdown. If the shutdown began without a signal, the first
/// signal has no effect, and the second one aborts the shutdown.
async fn forcing_signal(signals: &mut Signals, reason: ExitReason, log: &slog::Logger) -> &'static str {
    if reason != ExitReason::Graceful {
        let name = signals.next().await;
        info!(log, "shutting down"; "signal" => name);
    }
    signals.next().await
}
