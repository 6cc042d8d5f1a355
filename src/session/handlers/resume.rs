//! Bringing a session back to a new connection, with what its client missed.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use slog::o;

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{SessionId, TokenHash};
use crate::domain::turn::{Role, TurnStatus};
use crate::llm::messages::{FindGeneration, FollowRemoteTurn};
use crate::llm::stream::cursor::StreamPosition;
use crate::llm::stream::generation::Generation;
use crate::llm::stream::subscription::Subscription;
use crate::mailbox::AskError;
use crate::persistence::PATIENCE;
use crate::persistence::messages::{MarkInterrupted, ResumeSession, Resumption};
use crate::persistence::records::{StoredSession, StoredTurn};
use crate::protocol::client::Cursor;
use crate::protocol::server::{HistoryMessage, ServerFrame};
use crate::session::SessionActor;
use crate::session::actor::OpenSession;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::history::transcript;
use crate::session::state::conversation::{Conversation, Refusal};

/// Longest resume token that is looked at; ours have 64 characters.
const MAX_TOKEN_BYTES: usize = 256;

/// What the client brought.
struct Ticket {
    session_id: SessionId,
    resume_token: String,
    cursor: Option<Cursor>,
    at: Timestamp,
}

impl SessionActor {
    pub(crate) fn resume(
        &mut self,
        session_id: SessionId,
        resume_token: String,
        cursor: Option<Cursor>,
        ctx: &mut SocketContext,
    ) {
        if resume_token.len() > MAX_TOKEN_BYTES {
            return self.refuse(&Refusal::new(ErrorCode::SessionNotFound), None, ctx);
        }
        let ticket = Ticket { session_id, resume_token, cursor, at: Timestamp::now() };
        let resume = ResumeSession {
            session_id,
            token_hash: TokenHash::from_token(&ticket.resume_token),
            at: ticket.at,
            ttl: self.surroundings.times.ttl,
        };
        let resumed = self.surroundings.neighbours.resume.ask(resume, PATIENCE);
        ctx.wait(resumed.into_actor(self).map(move |resumed, actor, ctx| match resumed {
            Ok(Ok(Resumption::Resumed(stored))) => actor.look_for_answer(ticket, stored, ctx),
            Ok(Ok(Resumption::NotFound)) => {
                actor.refuse(&Refusal::new(ErrorCode::SessionNotFound), None, ctx)
            }
            Ok(Ok(Resumption::Expired)) => actor.refuse(&Refusal::new(ErrorCode::SessionExpired), None, ctx),
            Ok(Err(error)) => actor.storage_failed(&error, None, ctx),
            Err(AskError::Timeout) => {
                actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), None, ctx);
            }
            Err(AskError::Closed) => actor.actor_failed(Component::Persistence, None, ctx),
        }));
    }

    /// The newest turn may still be answered, here or elsewhere.
    fn look_for_answer(&mut self, ticket: Ticket, stored: StoredSession, ctx: &mut SocketContext) {
        let Some(newest) = stored.turns.last().map(|turn| turn.turn_id) else {
            return self.come_back(ticket, stored, None, ctx);
        };
        let find = FindGeneration { session_id: ticket.session_id, turn_id: newest };
        let found = self.surroundings.neighbours.find_generation.ask(find, PATIENCE);
        ctx.wait(found.into_actor(self).map(move |found, actor, ctx| match found {
            // One that was refused gives no answer, whatever the store has of its question.
            Ok(generation) if generation.as_ref().is_none_or(|it| it.is_refused()) => {
                actor.look_elsewhere(ticket, stored, ctx);
            }
            Ok(generation) => actor.come_back(ticket, stored, generation, ctx),
            // Nobody knows whether it is still being given, so nothing is said of it.
            Err(AskError::Timeout) => actor.refuse(&Refusal::new(ErrorCode::Overloaded), None, ctx),
            Err(AskError::Closed) => actor.actor_failed(Component::Llm, None, ctx),
        }));
    }

    /// Nobody answers the newest turn here. Unless it has ended, another server does, or it was cut off by a crash.
    fn look_elsewhere(&mut self, ticket: Ticket, stored: StoredSession, ctx: &mut SocketContext) {
        let Some(newest) = stored.turns.last().filter(|turn| turn.status == TurnStatus::Answering) else {
            return self.come_back(ticket, stored, None, ctx);
        };
        let answered_by = newest.answered_by.as_deref();
        if answered_by.is_none_or(|name| self.surroundings.incarnation.knows_to_be_gone(name)) {
            return self.mark_cut_off(ticket, stored, ctx);
        }
        let log = self.log.new(o!("turn_id" => newest.turn_id.to_string()));
        let follow = FollowRemoteTurn { session_id: ticket.session_id, turn: newest.clone(), log };
        let followed = self.surroundings.neighbours.follow_elsewhere.ask(follow, PATIENCE);
        ctx.wait(followed.into_actor(self).map(move |followed, actor, ctx| match followed {
            Ok(generation) => actor.come_back(ticket, stored, Some(generation), ctx),
            Err(AskError::Timeout) => actor.refuse(&Refusal::new(ErrorCode::Overloaded), None, ctx),
            Err(AskError::Closed) => actor.actor_failed(Component::Llm, None, ctx),
        }));
    }

    /// The turn is marked before the client is told of it, so that whatever it asks for next finds the same.
    fn mark_cut_off(&mut self, ticket: Ticket, mut stored: StoredSession, ctx: &mut SocketContext) {
        let Some(newest) = stored.turns.last_mut() else { return };
        newest.status = TurnStatus::Interrupted;
        let mark = MarkInterrupted { turn_id: newest.turn_id, at: ticket.at, last_sign: newest.last_sign() };
        let marked = self.surroundings.neighbours.mark_interrupted.ask(mark, PATIENCE);
        // A store that does not take it leaves it to the next resumption.
        ctx.wait(marked.into_actor(self).map(move |_, actor, ctx| {
            actor.come_back(ticket, stored, None, ctx);
        }));
    }

    fn come_back(
        &mut self,
        ticket: Ticket,
        stored: StoredSession,
        generation: Option<Arc<Generation>>,
        ctx: &mut SocketContext,
    ) {
        let generation = generation.or_else(|| {
            stored.turns.last().and_then(|turn| log_again(ticket.session_id, ticket.cursor?, turn))
        });
        let shown = generation.as_ref().and_then(|generation| place_of(ticket.cursor, generation));
        // The store may not have its end yet, while the database is away: then the log alone tells it.
        let is_stored = stored.turns.last().is_none_or(|turn| turn.status != TurnStatus::Answering);
        let live = generation.filter(|generation| shown.is_some() || !generation.is_over() || !is_stored);
        let surroundings = &self.surroundings;
        let (limits, system_tokens) = (surroundings.limits, surroundings.instructions.tokens());
        let mut conversation = Conversation::restored(limits, system_tokens, &stored, &surroundings.intake);
        let history = history_without(&stored, live.as_deref());
        if let (Some(_), Some(newest)) = (&live, stored.turns.last()) {
            conversation.reopen(newest, &surroundings.intake);
        }
        self.surroundings.metrics.session.resumed_sessions.inc();
        self.open_session(OpenSession::new(ticket.session_id, conversation), ctx);
        let mut frame = self.session_frame(ticket.session_id, ticket.resume_token, ticket.at);
        frame.resumed = true;
        frame.recovered = shown.is_some();
        frame.history = history;
        frame.more = stored.more;
        self.tell(&ServerFrame::Session(Box::new(frame)), ctx);
        if let Some(generation) = live {
            let missed = match shown {
                Some(place) => Subscription::from_position(&generation, place),
                None => Subscription::new(&generation, 0),
            };
            let missed = missed.with_replay().without_acceptance();
            socket::follow(ctx, missed);
            if let Some(open) = &mut self.open {
                open.generation = Some(generation);
            }
        }
    }
}

/// The log of a turn that has ended and that a cursor is about, made again of what is stored; `None` if that does not say where
/// its deltas end.
fn log_again(session_id: SessionId, cursor: Cursor, turn: &StoredTurn) -> Option<Arc<Generation>> {
    let ends = turn.delta_ends().filter(|_| cursor.turn_id == turn.turn_id)?;
    Some(Generation::from_stored(session_id, turn, Some(ends)))
}

/// The delta after which the client goes on, if its cursor is in this log.
fn place_of(cursor: Option<Cursor>, generation: &Generation) -> Option<StreamPosition> {
    cursor
        .filter(|cursor| cursor.turn_id == generation.turn_id)
        .and_then(|cursor| generation.position_after(cursor.seq))
}

/// The transcript, without the answer that follows delta by delta.
fn history_without(stored: &StoredSession, live: Option<&Generation>) -> Vec<HistoryMessage> {
    let messages = stored.turns.iter().flat_map(transcript);
    let follows = |it: &HistoryMessage| {
        it.role == Role::Assistant && live.is_some_and(|generation| generation.turn_id == it.turn_id)
    };
    messages.filter(|message| !follows(message)).collect()
}
