//! `resume`: restores a session on a new connection, and replays what its client has missed.

use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{SessionId, TokenHash};
use crate::domain::turn::{Role, TurnStatus};
use crate::llm::messages::{FindGeneration, FollowRemoteTurn};
use crate::llm::stream::cursor::StreamPosition;
use crate::llm::stream::generation::Generation;
use crate::llm::stream::subscription::Subscription;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::{MarkInterrupted, ResumeSession, Resumption};
use crate::persistence::records::{StoredSession, StoredTurn};
use crate::protocol::client::Cursor;
use crate::protocol::server::{HistoryMessage, ServerFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::history::transcript_messages;
use crate::session::state::conversation::Conversation;
use crate::session::state::open_session::{ActiveAnswer, OpenSession};

/// The maximum length of a resume token that is checked. Valid ones have 64 characters.
const MAX_TOKEN_BYTES: usize = 256;

/// A `resume` frame.
pub(crate) struct ResumeRequest {
    session_id: SessionId,
    resume_token: String,
    /// The last delta that the client has received.
    cursor: Option<Cursor>,
    received_at: Timestamp,
}

impl ResumeRequest {
    pub(crate) fn new(session_id: SessionId, resume_token: String, cursor: Option<Cursor>) -> Self {
        Self { session_id, resume_token, cursor, received_at: Timestamp::now() }
    }
}

impl SessionActor {
    pub(crate) fn resume(&mut self, request: ResumeRequest, ctx: &mut SocketContext) {
        if request.resume_token.len() > MAX_TOKEN_BYTES {
            return self.refuse_code(ErrorCode::SessionNotFound, None, ctx);
        }
        let resume = ResumeSession {
            session_id: request.session_id,
            token_hash: TokenHash::from_token(&request.resume_token),
            at: request.received_at,
            ttl: self.context.timeouts.ttl,
        };
        let resumed = self.context.actors.resume_session.ask(resume, STORE_TIMEOUT);
        self.wait_for_store(resumed, ctx, move |actor, resumed, ctx| match resumed {
            Ok(Resumption::Resumed(stored)) => actor.find_local_answer(request, stored, ctx),
            Ok(Resumption::NotFound) => actor.refuse_code(ErrorCode::SessionNotFound, None, ctx),
            Ok(Resumption::Expired) => actor.refuse_code(ErrorCode::SessionExpired, None, ctx),
            Err(error) => actor.refuse_store_error(&error, None, ctx),
        });
    }

    /// Looks for the answer of the newest turn at this instance.
    fn find_local_answer(&mut self, request: ResumeRequest, stored: StoredSession, ctx: &mut SocketContext) {
        let Some(newest) = stored.turns.last().map(|turn| turn.turn_id) else {
            return self.complete_resume(request, &stored, None, ctx);
        };
        let find = FindGeneration { session_id: request.session_id, turn_id: newest };
        let found = self.context.actors.find_generation.ask(find, STORE_TIMEOUT);
        self.wait_for(found, ctx, move |actor, found, ctx| match found {
            // A refused question has no answer in memory, even if the store has one.
            Ok(generation) if generation.as_ref().is_none_or(|generation| generation.is_refused()) => {
                actor.find_remote_answer(request, stored, ctx);
            }
            Ok(generation) => actor.complete_resume(request, &stored, generation, ctx),
            // It is unknown whether the answer is being generated, so the client must try again.
            Err(error) => actor.refuse(&actor.llm_refusal(error), None, ctx),
        });
    }

    /// Handles a newest turn that is not being answered at this instance. If it has not ended,
    /// another instance is answering it, or it was interrupted by a crash.
    fn find_remote_answer(&mut self, request: ResumeRequest, stored: StoredSession, ctx: &mut SocketContext) {
        let Some(newest) = stored.turns.last().filter(|turn| turn.status == TurnStatus::Answering) else {
            return self.complete_resume(request, &stored, None, ctx);
        };
        let answered_by = newest.answered_by.as_deref();
        if answered_by.is_none_or(|name| self.context.instance_id.is_dead(name)) {
            return self.mark_interrupted(request, stored, ctx);
        }
        let log = self.log.for_turn(newest.turn_id);
        let follow = FollowRemoteTurn { session_id: request.session_id, turn: newest.clone(), log };
        let followed = self.context.actors.follow_remote_turn.ask(follow, STORE_TIMEOUT);
        self.wait_for(followed, ctx, move |actor, followed, ctx| match followed {
            Ok(generation) => actor.complete_resume(request, &stored, Some(generation), ctx),
            Err(error) => actor.refuse(&actor.llm_refusal(error), None, ctx),
        });
    }

    /// Marks the newest turn as interrupted before the client is informed of it, so that its
    /// further requests see the same state.
    fn mark_interrupted(
        &mut self,
        request: ResumeRequest,
        mut stored: StoredSession,
        ctx: &mut SocketContext,
    ) {
        let Some(newest) = stored.turns.last_mut() else { return };
        newest.status = TurnStatus::Interrupted;
        let mark = MarkInterrupted {
            turn_id: newest.turn_id,
            at: request.received_at,
            last_heartbeat: newest.last_heartbeat(),
        };
        let marked = self.context.actors.mark_interrupted.ask(mark, STORE_TIMEOUT);
        // If the write fails, the next resume repeats it.
        self.wait_for(marked, ctx, move |actor, _, ctx| {
            actor.complete_resume(request, &stored, None, ctx);
        });
    }

    /// Opens the session and sends its transcript. Then forwards the answer of the newest turn from
    /// the position of the client, unless the transcript contains the whole answer.
    fn complete_resume(
        &mut self,
        request: ResumeRequest,
        stored: &StoredSession,
        generation: Option<Arc<Generation>>,
        ctx: &mut SocketContext,
    ) {
        let ResumeRequest { session_id, resume_token, cursor, received_at } = request;
        let newest = stored.turns.last();
        let generation =
            generation.or_else(|| newest.and_then(|turn| rebuild_generation(session_id, cursor?, turn)));
        let position = generation.as_ref().and_then(|generation| client_position(cursor, generation));
        // While the database is unavailable, the end of the answer exists only in the LLM actor.
        let is_end_stored = newest.is_none_or(|turn| turn.status != TurnStatus::Answering);
        let live =
            generation.filter(|generation| position.is_some() || !generation.is_over() || !is_end_stored);
        let context = &self.context;
        let (limits, system_tokens) = (context.limits, context.system_prompt.tokens());
        let mut conversation =
            Conversation::from_stored(limits, system_tokens, stored, &context.question_validator);
        if let (Some(_), Some(newest)) = (&live, newest) {
            conversation.reopen_turn(newest, &context.question_validator);
        }
        context.metrics.session.resumed_sessions.inc();
        self.open_session(OpenSession::new(session_id, conversation));
        let mut frame = self.session_frame(session_id, resume_token, received_at);
        frame.resumed = true;
        frame.recovered = position.is_some();
        frame.history = transcript_without(stored, live.as_deref());
        frame.more = stored.has_more;
        self.send(&ServerFrame::Session(Box::new(frame)), ctx);
        if let Some(generation) = live {
            let missed = match position {
                Some(position) => Subscription::from_position(&generation, position),
                None => Subscription::new(&generation, 0),
            };
            socket::add_stream(ctx, missed.with_replay().without_acceptance());
            if let Some(session) = &mut self.session {
                session.set_answer(ActiveAnswer::new(generation));
            }
        }
    }
}

/// Rebuilds the answer of a stored turn that the cursor refers to. Returns `None` if the offsets of
/// its deltas are not stored.
fn rebuild_generation(session_id: SessionId, cursor: Cursor, turn: &StoredTurn) -> Option<Arc<Generation>> {
    let ends = turn.delta_ends().filter(|_| cursor.turn_id == turn.turn_id)?;
    Some(Generation::from_stored(session_id, turn, Some(ends)))
}

/// Returns the position after the last delta that the client has received, if the cursor refers to
/// this answer.
fn client_position(cursor: Option<Cursor>, generation: &Generation) -> Option<StreamPosition> {
    cursor
        .filter(|cursor| cursor.turn_id == generation.turn_id)
        .and_then(|cursor| generation.position_after(cursor.seq))
}

/// Returns the transcript without the answer that follows as deltas.
fn transcript_without(stored: &StoredSession, live: Option<&Generation>) -> Vec<HistoryMessage> {
    let messages = stored.turns.iter().flat_map(transcript_messages);
    let is_live = |message: &HistoryMessage| {
        message.role == Role::Assistant
            && live.is_some_and(|generation| generation.turn_id == message.turn_id)
    };
    messages.filter(|message| !is_live(message)).collect()
}
