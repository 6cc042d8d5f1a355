//! `forget`: deletes the conversation.

use slog::info;

use crate::domain::error_code::ErrorCode;
use crate::persistence::messages::ForgetSession;
use crate::persistence::{STORE_TIMEOUT, StorageError};
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::ServerFrame;
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::replies::StoreRequestError;
use crate::session::state::refusal::Refusal;

impl SessionActor {
    /// Deletes the conversation. If an answer is being generated, it is cancelled first, and the
    /// client is informed of its end.
    pub(crate) fn forget(&mut self, ctx: &mut SocketContext) {
        let Some(session) = &mut self.session else {
            let refusal = Refusal::new(ErrorCode::ValidationError).with_message("There is no session yet.");
            return self.refuse(&refusal, None, ctx);
        };
        match session.answer_mut() {
            Some(answer) => {
                answer.delete_conversation_after();
                answer.generation().cancel(None);
            }
            None => self.delete_conversation(ctx),
        }
    }

    /// Deletes the stored conversation and closes the connection.
    pub(crate) fn delete_conversation(&mut self, ctx: &mut SocketContext) {
        let Some(session) = &self.session else { return };
        let forget = ForgetSession { session_id: session.id(), epoch: session.epoch() };
        let deleted = self.context.actors.forget_session.ask(forget, STORE_TIMEOUT);
        self.wait_for_store(deleted, ctx, |actor, deleted, ctx| match deleted {
            // The session no longer exists if the owner has deleted it, or if the reply to an
            // earlier attempt was lost.
            Ok(()) | Err(StoreRequestError::Failed(StorageError::Gone)) => {
                info!(actor.log.connection(), "conversation deleted");
                actor.send(&ServerFrame::Forgotten, ctx);
                actor.close(CloseReason::Normal, ctx);
            }
            Err(error) => actor.refuse_failed_write(&error, None, ctx),
        });
    }
}
