//! `feedback`: stores the rating of an answer.

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::Rating;
use crate::input_filter::sanitize;
use crate::persistence::messages::SaveFeedback;
use crate::persistence::{STORE_TIMEOUT, StorageError};
use crate::protocol::MAX_COMMENT_CHARS;
use crate::protocol::server::ServerFrame;
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::replies::StoreRequestError;
use crate::session::state::refusal::Refusal;

/// The feedback of a visitor about an answer.
pub(crate) struct FeedbackRequest {
    pub(crate) turn_id: TurnId,
    /// `None` removes earlier feedback.
    pub(crate) rating: Option<Rating>,
    pub(crate) comment: Option<String>,
    /// The id that the client gave to this request.
    pub(crate) id: Option<String>,
}

impl SessionActor {
    pub(crate) fn feedback(&mut self, feedback: FeedbackRequest, ctx: &mut SocketContext) {
        let FeedbackRequest { turn_id, rating, comment, id } = feedback;
        let Some(session) = &self.session else {
            return self.refuse_code(ErrorCode::NoSuchTurn, id, ctx);
        };
        let comment = comment.map(|comment| sanitize(&comment).into_owned());
        let comment = comment.filter(|comment| !comment.is_empty());
        let length = comment.as_ref().map_or(0, |comment| comment.chars().count());
        if length > MAX_COMMENT_CHARS {
            let refusal = Refusal::new(ErrorCode::MessageTooLong).with_message(format!(
                "The comment has {length} characters; at most {MAX_COMMENT_CHARS} are possible."
            ));
            return self.refuse(&refusal, id, ctx);
        }
        let (session_id, epoch) = (session.id(), session.epoch());
        let save = SaveFeedback { session_id, epoch, turn_id, rating, comment, at: Timestamp::now() };
        let saved = self.context.actors.save_feedback.ask(save, STORE_TIMEOUT);
        self.wait_for_store(saved, ctx, move |actor, saved, ctx| match saved {
            Ok(()) => actor.send(&ServerFrame::FeedbackSaved { turn_id, rating, id }, ctx),
            Err(StoreRequestError::Failed(StorageError::Gone)) => {
                actor.refuse_code(ErrorCode::NoSuchTurn, id, ctx);
            }
            Err(error) => actor.refuse_failed_write(&error, id, ctx),
        });
    }

    /// Sends an error frame because a write failed, and closes the connection if its session was
    /// taken over.
    pub(crate) fn refuse_failed_write(
        &mut self,
        error: &StoreRequestError,
        id: Option<String>,
        ctx: &mut SocketContext,
    ) {
        if let StoreRequestError::Failed(StorageError::Superseded) = error {
            self.refuse_code(ErrorCode::SessionNotFound, id, ctx);
            self.check_takeover(ctx);
        } else {
            self.refuse_store_error(error, id, ctx);
        }
    }
}
