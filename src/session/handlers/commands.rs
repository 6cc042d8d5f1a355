//! What a visitor may want beside asking: that an answer stops, that it is given anew, to say what they think of it, and that
//! everything be forgotten.

use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use slog::info;

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::Rating;
use crate::mailbox::AskError;
use crate::persistence::messages::{ForgetSession, SaveFeedback};
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::MAX_COMMENT_CHARS;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::ServerFrame;
use crate::safety::sanitise;
use crate::session::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::state::conversation::{Refusal, Wanted};

/// What a visitor thinks of an answer.
pub(crate) struct Opinion {
    pub(crate) turn_id: TurnId,
    pub(crate) rating: Option<Rating>,
    pub(crate) comment: Option<String>,
    /// The client's own id, to be sent back.
    pub(crate) id: Option<String>,
}

impl SessionActor {
    /// Stops the answer; its end is told when it has ended.
    pub(crate) fn cancel(&mut self, turn_id: Option<TurnId>, seen_seq: Option<u64>, ctx: &mut SocketContext) {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        match generation.filter(|it| turn_id.is_none_or(|wanted| wanted == it.turn_id)) {
            Some(generation) => generation.cancel(seen_seq),
            None => self.refuse(&Refusal::new(ErrorCode::NoSuchTurn), None, ctx),
        }
    }

    /// Asks the last question once more.
    pub(crate) fn regenerate(&mut self, client_id: Option<String>, ctx: &mut SocketContext) {
        let last = self.open.as_ref().and_then(|open| open.conversation.last());
        let Some((last, question)) = last else {
            return self.refuse(&Refusal::new(ErrorCode::NoSuchTurn), client_id, ctx);
        };
        // It is judged again: the owner may have changed the policy since.
        match self.take_in(&question) {
            Ok(question) => self.ask(Wanted { question, client_id, regenerates: Some(last) }, ctx),
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
        }
    }

    /// Keeps what the visitor thinks of an answer.
    pub(crate) fn take_feedback(&mut self, opinion: Opinion, ctx: &mut SocketContext) {
        let Opinion { turn_id, rating, comment, id } = opinion;
        let Some(open) = &self.open else {
            return self.refuse(&Refusal::new(ErrorCode::NoSuchTurn), id, ctx);
        };
        let comment = comment.map(|it| sanitise(&it).into_owned()).filter(|it| !it.is_empty());
        let length = comment.as_ref().map_or(0, |comment| comment.chars().count());
        if length > MAX_COMMENT_CHARS {
            let refusal = Refusal::new(ErrorCode::MessageTooLong).saying(format!(
                "The comment has {length} characters; at most {MAX_COMMENT_CHARS} are possible."
            ));
            return self.refuse(&refusal, id, ctx);
        }
        let (session_id, epoch) = (open.id, open.conversation.epoch());
        let save = SaveFeedback { session_id, epoch, turn_id, rating, comment, at: Timestamp::now() };
        let saved = self.surroundings.neighbours.save_feedback.ask(save, PATIENCE);
        // One after the other, in the order in which they came: the latest counts.
        ctx.wait(saved.into_actor(self).map(move |saved, actor, ctx| match saved {
            Ok(Ok(())) => actor.tell(&ServerFrame::FeedbackSaved { turn_id, rating, id }, ctx),
            Ok(Err(StorageError::Gone)) => actor.refuse(&Refusal::new(ErrorCode::NoSuchTurn), id, ctx),
            other => actor.wish_failed(other, id, ctx),
        }));
    }

    /// Deletes the conversation, when the answer under way has ended: it is stopped first, and its end told.
    pub(crate) fn forget(&mut self, ctx: &mut SocketContext) {
        let Some(open) = &self.open else {
            let refusal = Refusal::new(ErrorCode::ValidationError).saying("There is no session yet.");
            return self.refuse(&refusal, None, ctx);
        };
        match &open.generation {
            Some(generation) => {
                self.forgetting = true;
                generation.cancel(None);
            }
            None => self.forget_now(ctx),
        }
    }

    pub(crate) fn forget_now(&mut self, ctx: &mut SocketContext) {
        let Some(open) = &self.open else { return };
        self.forgetting = false;
        let forget = ForgetSession { session_id: open.id, epoch: open.conversation.epoch() };
        let forgotten = self.surroundings.neighbours.forget.ask(forget, PATIENCE);
        ctx.wait(forgotten.into_actor(self).map(|forgotten, actor, ctx| match forgotten {
            // One that is not there was deleted by its owner meanwhile, or by a try of which nobody knew that it succeeded.
            Ok(Ok(()) | Err(StorageError::Gone)) => {
                info!(actor.log, "conversation forgotten");
                actor.tell(&ServerFrame::Forgotten, ctx);
                actor.leave(CloseReason::Normal, ctx);
            }
            other => actor.wish_failed(other, None, ctx),
        }));
    }

    fn wish_failed(
        &mut self,
        reply: Result<Result<(), StorageError>, AskError>,
        id: Option<String>,
        ctx: &mut SocketContext,
    ) {
        match reply {
            Ok(Ok(())) => {}
            Ok(Err(StorageError::Superseded)) => {
                self.refuse(&Refusal::new(ErrorCode::SessionNotFound), id, ctx);
                self.look_whether_succeeded(ctx);
            }
            Ok(Err(error)) => self.storage_failed(&error, id, ctx),
            Err(AskError::Timeout) => {
                self.refuse(&Refusal::new(ErrorCode::StorageUnavailable), id, ctx);
            }
            Err(AskError::Closed) => self.actor_failed(Component::Persistence, id, ctx),
        }
    }
}
