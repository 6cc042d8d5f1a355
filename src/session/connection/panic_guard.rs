//! Limits a panic in a session to its own connection, which is closed with an error.
//!
//! Everything that a session does is polled through the output stream of its socket: frames,
//! commands, timers and the progress of its answer. So a panic is caught in one place. Dropping the
//! actor releases what it holds (its registry entry, its subscription, its connection count for the
//! address), as after a lost connection. The answer continues, and the visitor can resume the
//! session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use slog::error;

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{ErrorFrame, ServerFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::connection_log::SharedLogger;
use crate::session::connection::socket::{Transport, final_frames};
use crate::session::context::SessionContext;
use crate::system::panics::catch_panic_sync;

/// What remains of a session that has panicked.
pub struct PanicGuard {
    context: Arc<SessionContext>,
    request_id: Arc<str>,
    /// The logger of the current turn or of the connection.
    log: SharedLogger,
    transport: Transport,
}

/// The output of a session, which ends with an error frame if the session panics.
pub struct CatchPanic<S> {
    /// `None` after a panic.
    output: Option<S>,
    guard: PanicGuard,
}

impl PanicGuard {
    /// Returns the guard of a session that has not started yet.
    pub fn of(session: &SessionActor) -> Self {
        Self {
            context: Arc::clone(&session.context),
            request_id: Arc::clone(&session.request_id),
            log: session.log.shared(),
            transport: session.socket.transport,
        }
    }

    /// Wraps the output of the session.
    pub fn wrap<S>(self, output: S) -> CatchPanic<S> {
        CatchPanic { output: Some(output), guard: self }
    }

    fn final_frames(&self) -> Bytes {
        let code = ErrorCode::InternalError;
        self.context.metrics.session.count_error(code);
        let error = ServerFrame::Error(Box::new(ErrorFrame::new(code, Arc::clone(&self.request_id))));
        final_frames(self.transport, &error, CloseReason::InternalError)
    }
}

impl<S, E> Stream for CatchPanic<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(output) = &mut self.output else { return Poll::Ready(None) };
        let panic = match catch_panic_sync(Component::Session, || Pin::new(output).poll_next(cx)) {
            Ok(polled) => return polled,
            Err(panic) => panic,
        };
        error!(self.guard.log.borrow(), "session panicked"; &panic);
        let output = self.output.take();
        // Dropping the context makes actix stop the actor, which can panic again in its
        // inconsistent state.
        if let Err(panic) = catch_panic_sync(Component::Session, || drop(output)) {
            error!(self.guard.log.borrow(), "session panicked while stopping"; &panic);
        }
        Poll::Ready(Some(Ok(self.guard.final_frames())))
    }
}
