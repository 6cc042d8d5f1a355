//! Frames that every handler sends, and the refusals for failed requests to other actors.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use slog::{debug, error, warn};

use crate::domain::clock::{Timestamp, millis};
use crate::domain::component::Component;
use crate::domain::error_chain::ErrorChain;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::mailbox::AskError;
use crate::persistence::StorageError;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{ErrorFrame, NoticeCode, ServerFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::state::refusal::Refusal;

/// A failed request to the persistence actor.
#[derive(Debug)]
pub(crate) enum StoreRequestError {
    /// The actor replied with an error.
    Failed(StorageError),
    /// The actor did not reply in time.
    Timeout,
    /// The actor panicked or has stopped.
    ActorFailed,
}

impl StoreRequestError {
    /// Returns whether the database does not answer at the moment.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Failed(StorageError::Unavailable(_)) | Self::Timeout)
    }
}

/// Merges the two levels of errors of a request to the persistence actor.
pub(crate) fn flatten_reply<T>(
    reply: Result<Result<T, StorageError>, AskError>,
) -> Result<T, StoreRequestError> {
    match reply {
        Ok(result) => result.map_err(StoreRequestError::Failed),
        Err(AskError::Timeout) => Err(StoreRequestError::Timeout),
        Err(AskError::Closed) => Err(StoreRequestError::ActorFailed),
    }
}

impl SessionActor {
    /// Waits for a request and passes its reply to `then`. Meanwhile the session handles nothing
    /// else, so that frames take effect in the order in which they arrived.
    pub(crate) fn wait_for<T: 'static>(
        &self,
        request: impl Future<Output = T> + 'static,
        ctx: &mut SocketContext,
        then: impl FnOnce(&mut Self, T, &mut SocketContext) + 'static,
    ) {
        ctx.wait(request.into_actor(self).map(move |reply, actor, ctx| then(actor, reply, ctx)));
    }

    /// Waits for a request to the persistence actor; see [`Self::wait_for`].
    pub(crate) fn wait_for_store<T: 'static>(
        &self,
        request: impl Future<Output = Result<Result<T, StorageError>, AskError>> + 'static,
        ctx: &mut SocketContext,
        then: impl FnOnce(&mut Self, Result<T, StoreRequestError>, &mut SocketContext) + 'static,
    ) {
        self.wait_for(request, ctx, move |actor, reply, ctx| then(actor, flatten_reply(reply), ctx));
    }

    /// Sends a frame to the client.
    pub(crate) fn send(&self, frame: &ServerFrame, ctx: &mut SocketContext) {
        if let Err(error) = socket::send(ctx, self.socket.transport, frame) {
            error!(self.log.connection(), "frame serialization failed"; "cause" => %error);
            socket::close(ctx, CloseReason::InternalError);
        }
    }

    pub(crate) fn notify(&self, code: NoticeCode, message: &str, ctx: &mut SocketContext) {
        self.send(&ServerFrame::Notice { code, message: message.to_owned() }, ctx);
    }

    /// Sends an error frame. `id` is the id that the client gave to its request.
    pub(crate) fn refuse(&self, refusal: &Refusal, id: Option<String>, ctx: &mut SocketContext) {
        debug!(self.log.connection(), "request refused"; "code" => ?refusal.code);
        self.send(&self.error_frame(refusal, id, None), ctx);
    }

    /// Sends an error frame with the default message of a code.
    pub(crate) fn refuse_code(&self, code: ErrorCode, id: Option<String>, ctx: &mut SocketContext) {
        self.refuse(&Refusal::new(code), id, ctx);
    }

    /// Sends an error frame because a request to the persistence actor failed.
    pub(crate) fn refuse_store_error(
        &self,
        error: &StoreRequestError,
        id: Option<String>,
        ctx: &mut SocketContext,
    ) {
        let code = match error {
            StoreRequestError::Failed(error) => {
                warn!(self.log.connection(), "store request failed"; "cause" => %ErrorChain(error));
                match error {
                    StorageError::Panicked(_) => ErrorCode::InternalError,
                    _ => ErrorCode::StorageUnavailable,
                }
            }
            StoreRequestError::Timeout => ErrorCode::StorageUnavailable,
            // The actor is restarted, so a retry can succeed.
            StoreRequestError::ActorFailed => {
                self.log_actor_failure(Component::Persistence);
                ErrorCode::InternalError
            }
        };
        self.refuse_code(code, id, ctx);
    }

    /// Returns the refusal for a failed request to the LLM actor.
    pub(crate) fn llm_refusal(&self, error: AskError) -> Refusal {
        match error {
            AskError::Timeout => Refusal::new(ErrorCode::Overloaded),
            AskError::Closed => {
                self.log_actor_failure(Component::Llm);
                Refusal::new(ErrorCode::InternalError)
            }
        }
    }

    fn log_actor_failure(&self, component: Component) {
        let log = self.log.connection();
        match self.context.supervision.last_panic(component) {
            Some(panic) => {
                error!(log, "actor panicked while handling request"; "actor" => component.as_str(), &panic);
            }
            None => error!(log, "actor stopped"; "actor" => component.as_str()),
        }
    }

    /// Returns an error frame and counts it.
    pub(crate) fn error_frame(
        &self,
        refusal: &Refusal,
        id: Option<String>,
        turn_id: Option<TurnId>,
    ) -> ServerFrame {
        self.context.metrics.session.count_error(refusal.code);
        ServerFrame::Error(Box::new(ErrorFrame {
            code: refusal.code,
            message: refusal.message().to_owned(),
            retryable: refusal.retryable,
            retry_after_ms: refusal.retry_after.map(millis),
            id,
            turn_id,
            request_id: Arc::clone(&self.request_id),
        }))
    }

    /// Returns how many more questions the session may ask now.
    pub(crate) fn remaining(&mut self) -> u32 {
        self.session.as_mut().map_or(0, |session| session.remaining(Timestamp::now()))
    }
}
