//! `cancel`: stops the current answer.

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;

impl SessionActor {
    /// Stops the answer of a turn, or the current answer. The client is informed when it has ended.
    pub(crate) fn cancel(&mut self, turn_id: Option<TurnId>, seen_seq: Option<u64>, ctx: &mut SocketContext) {
        let generation = self.answer().map(|answer| answer.generation());
        match generation.filter(|generation| turn_id.is_none_or(|wanted| wanted == generation.turn_id)) {
            Some(generation) => generation.cancel(seen_seq),
            None => self.refuse_code(ErrorCode::NoSuchTurn, None, ctx),
        }
    }
}
