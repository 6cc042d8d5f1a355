//! Replays the answer to a question that the client has sent twice.

use crate::domain::error_code::ErrorCode;
use crate::domain::turn::TurnStatus;
use crate::llm::messages::FindGeneration;
use crate::llm::stream::generation::Generation;
use crate::llm::stream::subscription::Subscription;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::FindTurn;
use crate::persistence::records::{StoredTurn, TurnKey};
use crate::protocol::server::ServerFrame;
use crate::session::actor::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::state::conversation::QuestionRequest;
use crate::session::state::open_session::ActiveAnswer;

impl SessionActor {
    /// Looks up a question whose client id was used before or may have been, and replays its answer
    /// if it is the same question. Calls `if_not_stored` if the store has no question with this id.
    pub(crate) fn replay_duplicate(
        &mut self,
        request: QuestionRequest,
        if_not_stored: fn(&mut Self, QuestionRequest, &mut SocketContext),
        ctx: &mut SocketContext,
    ) {
        let (Some(session), Some(id)) = (&self.session, request.client_id.clone()) else { return };
        let find = FindTurn { session_id: session.id(), key: TurnKey::Client(id) };
        let found = self.context.actors.find_turn.ask(find, STORE_TIMEOUT);
        self.wait_for_store(found, ctx, move |actor, found, ctx| match found {
            Ok(None) => if_not_stored(actor, request, ctx),
            Ok(Some(turn)) if !request.matches(&turn.question.content, turn.regenerates) => {
                actor.refuse_code(ErrorCode::DuplicateId, request.client_id, ctx);
            }
            // The end of the answer is not written yet.
            Ok(Some(turn)) if turn.status == TurnStatus::Answering => {
                actor.refuse_code(ErrorCode::StorageUnavailable, request.client_id, ctx);
            }
            Ok(Some(turn)) => actor.replay_turn(turn, ctx),
            Err(error) => actor.refuse_store_error(&error, request.client_id, ctx),
        });
    }

    /// Replays a turn that has ended: from the LLM actor if it still has the answer, otherwise from
    /// the stored turn. The deltas have the same numbers in both cases, because a client that
    /// resumes relies on them.
    fn replay_turn(&mut self, turn: StoredTurn, ctx: &mut SocketContext) {
        let Some(session) = &self.session else { return };
        let find = FindGeneration { session_id: session.id(), turn_id: turn.turn_id };
        let found = self.context.actors.find_generation.ask(find, STORE_TIMEOUT);
        self.wait_for(found, ctx, move |actor, found, ctx| {
            let accepted = ServerFrame::Accepted {
                id: turn.client_id.clone(),
                turn_id: turn.turn_id,
                remaining: actor.remaining(),
                durable: true,
                duplicate: true,
            };
            actor.send(&accepted, ctx);
            let Some(session) = &mut actor.session else { return };
            // A refused question has no answer in memory, even if the store has one.
            let in_memory = found.ok().flatten().filter(|generation| !generation.is_refused());
            let generation =
                in_memory.unwrap_or_else(|| Generation::from_stored(session.id(), &turn, turn.delta_ends()));
            session.conversation.reopen_turn(&turn, &actor.context.question_validator);
            socket::add_stream(ctx, Subscription::new(&generation, 0).with_replay().without_acceptance());
            session.set_answer(ActiveAnswer::new(generation));
        });
    }
}
