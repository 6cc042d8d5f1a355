//! What a panic in a session comes to: its own visitor is told, its own connection closed.
//!
//! Everything a session does is polled through the output of its socket: frames, orders, timers, the answer it follows. So
//! all of it is caught in one place. What the actor held is given back by dropping it, as when a network is lost:
//! its place, its subscription, what its address is counted for. The answer goes on, and the visitor can come back to it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use slog::{Logger, error};

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{ErrorFrame, ServerFrame};
use crate::session::SessionSurroundings;
use crate::session::connection::socket::last_words;
use crate::supervision::catch;

/// The log of what the session is doing now, for when it cannot be asked any more.
pub type LogCell = Rc<RefCell<Logger>>;

/// The output of a session, until it ends or panics.
pub struct Contained<S> {
    /// `None` after a panic.
    output: Option<S>,
    surroundings: Arc<SessionSurroundings>,
    request_id: Arc<str>,
    log: LogCell,
}

impl<S> Contained<S> {
    /// Contains the panics of a session that reports faults under `request_id`.
    pub fn new(
        output: S,
        surroundings: Arc<SessionSurroundings>,
        request_id: Arc<str>,
        log: LogCell,
    ) -> Self {
        Self { output: Some(output), surroundings, request_id, log }
    }

    fn error_frame(&self) -> ServerFrame {
        let code = ErrorCode::InternalError;
        self.surroundings.metrics.session.error(code);
        ServerFrame::Error(Box::new(ErrorFrame::new(code, Arc::clone(&self.request_id))))
    }
}

impl<S, E> Stream for Contained<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(output) = &mut self.output else { return Poll::Ready(None) };
        let panic = match catch(Component::Session, || Pin::new(output).poll_next(cx)) {
            Ok(polled) => return polled,
            Err(panic) => panic,
        };
        error!(self.log.borrow(), "the session panicked"; &panic);
        let remains = self.output.take();
        // actix lets the actor end in order, half done as it is, which may panic again.
        if let Err(panic) = catch(Component::Session, || drop(remains)) {
            error!(self.log.borrow(), "the end of the session panicked"; &panic);
        }
        Poll::Ready(Some(Ok(last_words(&self.error_frame(), CloseReason::InternalFault))))
    }
}
