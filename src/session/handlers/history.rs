//! Saying again what was said before: the transcript, and the answer to a question that came twice.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::turn::{Role, TurnStatus};
use crate::llm::messages::FindGeneration;
use crate::llm::stream::generation::Generation;
use crate::llm::stream::subscription::Subscription;
use crate::mailbox::AskError;
use crate::persistence::PATIENCE;
use crate::persistence::messages::{FindTurn, LoadHistory};
use crate::persistence::records::{StoredMessage, StoredTurn, TranscriptPage, TurnKey};
use crate::protocol::MAX_HISTORY_LIMIT;
use crate::protocol::server::{HistoryMessage, ServerFrame};
use crate::session::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::state::conversation::{Refusal, Wanted, duplicate};

/// Which reading of the transcript it is, for one `history`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    First,
    Again,
}

impl SessionActor {
    pub(crate) fn history(&mut self, before: Option<TurnId>, limit: Option<usize>, ctx: &mut SocketContext) {
        let Some(open) = &self.open else {
            let refusal = Refusal::new(ErrorCode::ValidationError).saying("There is no session yet.");
            return self.refuse(&refusal, None, ctx);
        };
        // One at a time: the replies of a client that does not read would pile up otherwise.
        if std::mem::replace(&mut self.reading_history, true) {
            return self.refuse(&Refusal::new(ErrorCode::Overloaded), None, ctx);
        }
        let load = LoadHistory { session_id: open.id, before, limit: limit.unwrap_or(MAX_HISTORY_LIMIT) };
        self.read_history(load, Reading::First, ctx);
    }

    fn read_history(&mut self, load: LoadHistory, reading: Reading, ctx: &mut SocketContext) {
        let page = self.surroundings.neighbours.load_history.ask(load, PATIENCE);
        ctx.spawn(page.into_actor(self).map(move |page, actor, ctx| {
            match page {
                // Read before it ended, and told after that.
                Ok(Ok(page)) if reading == Reading::First && actor.is_behind(&page) => {
                    return actor.read_history(load, Reading::Again, ctx);
                }
                Ok(Ok(TranscriptPage { turns, more })) => {
                    let messages = turns.iter().flat_map(transcript).collect();
                    actor.tell(&ServerFrame::History { messages, more }, ctx);
                }
                Ok(Err(error)) => actor.storage_failed(&error, None, ctx),
                Err(AskError::Timeout) => {
                    actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), None, ctx);
                }
                Err(AskError::Closed) => actor.actor_failed(Component::Persistence, None, ctx),
            }
            actor.reading_history = false;
        }));
    }

    /// Whether a page has a turn as still answered that is not the one that is answered now.
    fn is_behind(&self, page: &TranscriptPage) -> bool {
        let now = self.open.as_ref().and_then(|open| open.generation.as_ref()).map(|it| it.turn_id);
        let answering = page.turns.last().filter(|turn| turn.status == TurnStatus::Answering);
        answering.is_some_and(|turn| Some(turn.turn_id) != now)
    }

    /// A question with an id that was used before: says the earlier answer again, if it is the same question. If the store does
    /// not have it, `otherwise` it is.
    pub(crate) fn answer_again(
        &mut self,
        wanted: Wanted,
        otherwise: fn(&mut Self, Wanted, &mut SocketContext),
        ctx: &mut SocketContext,
    ) {
        let (Some(open), Some(id)) = (&self.open, wanted.client_id.clone()) else { return };
        let find = FindTurn { session_id: open.id, key: TurnKey::Client(id) };
        let found = self.surroundings.neighbours.find_turn.ask(find, PATIENCE);
        ctx.wait(found.into_actor(self).map(move |found, actor, ctx| match found {
            Ok(Ok(None)) => otherwise(actor, wanted, ctx),
            Ok(Ok(Some(turn))) if !wanted.is_of(&turn.question.content, turn.regenerates) => {
                actor.refuse(&duplicate(), wanted.client_id, ctx);
            }
            Ok(Ok(Some(turn))) if turn.status != TurnStatus::Answering => {
                actor.look_for_log(turn, ctx);
            }
            // Its end waits to be written.
            Ok(Ok(Some(_))) | Err(AskError::Timeout) => {
                actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), wanted.client_id, ctx);
            }
            Ok(Err(error)) => actor.storage_failed(&error, wanted.client_id, ctx),
            Err(AskError::Closed) => actor.actor_failed(Component::Persistence, wanted.client_id, ctx),
        }));
    }

    /// The answer may still be at hand; else its log is made again of what is stored. Its deltas have their numbers either way,
    /// which a client that comes back once more relies on.
    fn look_for_log(&mut self, turn: StoredTurn, ctx: &mut SocketContext) {
        let Some(open) = &self.open else { return };
        let find = FindGeneration { session_id: open.id, turn_id: turn.turn_id };
        let found = self.surroundings.neighbours.find_generation.ask(find, PATIENCE);
        ctx.wait(found.into_actor(self).map(move |found, actor, ctx| {
            let accepted = ServerFrame::Accepted {
                id: turn.client_id.clone(),
                turn_id: turn.turn_id,
                remaining: actor.remaining(),
                durable: true,
                duplicate: true,
            };
            actor.tell(&accepted, ctx);
            let Some(open) = &mut actor.open else { return };
            // One that was refused gives no answer, whatever the store has of its question.
            let at_hand = found.ok().flatten().filter(|it| !it.is_refused());
            let generation =
                at_hand.unwrap_or_else(|| Generation::from_stored(open.id, &turn, turn.delta_ends()));
            open.conversation.reopen(&turn, &actor.surroundings.intake);
            socket::follow(ctx, Subscription::new(&generation, 0).with_replay().without_acceptance());
            open.generation = Some(generation);
        }));
    }
}

/// The messages of a turn as clients see them.
pub(crate) fn transcript(turn: &StoredTurn) -> impl Iterator<Item = HistoryMessage> + use<> {
    let message = |role, said: &StoredMessage| HistoryMessage {
        turn_id: turn.turn_id,
        role,
        content: Arc::clone(&said.content),
        tokens: said.tokens,
        created_at: said.at,
        status: turn.status,
        mode: turn.mode.filter(|_| role == Role::Assistant),
        superseded_by: turn.superseded_by,
        rating: turn.feedback.as_ref().filter(|_| role == Role::Assistant).map(|it| it.rating),
    };
    let question = message(Role::User, &turn.question);
    let answer =
        turn.answer.as_ref().filter(|it| !it.content.is_empty()).map(|it| message(Role::Assistant, it));
    std::iter::once(question).chain(answer)
}
