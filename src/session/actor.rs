//! The actor of one connection: its life, its frames, and what it tells.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, WrapFuture};
use slog::{Logger, debug, error, info, o, warn};
use tokio::time::Instant;

use super::conversation::{Conversation, Refusal};
use super::frame_guard::{Broken, BrokenCell};
use super::inbound::{Fragment, Reassembly};
use super::question::Question;
use super::registry::Place;
use super::socket::{self, SocketContext};
use super::{SessionOrder, SessionSurroundings};
use crate::clock::Timestamp;
use crate::ids::{ResumeToken, SessionId, TurnId};
use crate::limits::Admitted;
use crate::llm::generation::Generation;
use crate::mailbox::{AskError, Mailbox, Post, Receive, Reply};
use crate::persistence::messages::CreateSession;
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::client::ClientFrame;
use crate::protocol::codes::{CloseReason, ErrorCode};
use crate::protocol::server::{AnswerMode, ErrorFrame, Limits, NoticeCode, ServerFrame, SessionFrame};
use crate::protocol::{MAX_MALFORMED_IN_A_ROW, MAX_QUESTION_CHARS};
use crate::receives;

/// Orders that may wait for a session; each is given once or twice in its life.
const MAILBOX_CAPACITY: usize = 16;

/// One visitor's connection.
pub struct SessionActor {
    pub(super) surroundings: Arc<SessionSurroundings>,
    pub(super) place: Place,
    /// Its address, which has limits of its own.
    pub(super) visitor: Admitted,
    /// The id of the handshake request; every frame that reports a fault carries it.
    pub(super) request_id: Arc<str>,
    pub(super) log: Logger,
    broken: BrokenCell,
    reassembly: Reassembly,
    malformed_in_a_row: u8,
    /// `None` until the client has started or resumed a session.
    pub(super) open: Option<Box<OpenSession>>,
    pub(super) reading_history: bool,
    /// The server leaves; the connection does when the answer's end is told.
    pub(super) leaving: bool,
    last_heard: Instant,
    pub(super) last_asked: Instant,
}

/// The session this connection speaks for.
pub(super) struct OpenSession {
    pub(super) id: SessionId,
    pub(super) conversation: Conversation,
    /// The answer being given.
    pub(super) generation: Option<Arc<Generation>>,
    /// Tell with the acceptance that older messages left the prompt.
    pub(super) newly_pruned: bool,
    /// Who answers, as the client was told last.
    pub(super) told_mode: AnswerMode,
}

impl OpenSession {
    pub(super) fn new(id: SessionId, conversation: Conversation) -> Self {
        Self { id, conversation, generation: None, newly_pruned: false, told_mode: AnswerMode::Live }
    }
}

impl SessionActor {
    /// A connection that has not said anything yet.
    #[must_use]
    pub fn new(
        surroundings: Arc<SessionSurroundings>,
        place: Place,
        visitor: Admitted,
        request_id: Arc<str>,
        log: Logger,
        broken: BrokenCell,
    ) -> Self {
        let now = Instant::now();
        Self {
            surroundings,
            place,
            visitor,
            request_id,
            log,
            broken,
            reassembly: Reassembly::default(),
            malformed_in_a_row: 0,
            open: None,
            reading_history: false,
            leaving: false,
            last_heard: now,
            last_asked: now,
        }
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken.get()
    }

    pub(super) fn client_is_there(&mut self) {
        self.last_heard = Instant::now();
    }

    pub(super) fn leave(&mut self, reason: CloseReason, ctx: &mut SocketContext) {
        debug!(self.log, "closing"; "code" => reason.code());
        socket::close(ctx, reason);
    }

    pub(super) fn on_fragment(&mut self, fragment: Fragment<'_>, ctx: &mut SocketContext) {
        match self.reassembly.take(fragment) {
            Ok(None) => {}
            Ok(Some(text)) => self.on_text(&text, ctx),
            Err(reason) => self.leave(reason, ctx),
        }
    }

    pub(super) fn on_text(&mut self, text: &str, ctx: &mut SocketContext) {
        let frame = match ClientFrame::parse(text) {
            Ok(frame) => frame,
            Err(malformed) => {
                self.malformed_in_a_row += 1;
                let refusal = Refusal::new(ErrorCode::ValidationError)
                    .saying(format!("The request could not be understood: {}.", malformed.problem));
                self.refuse(&refusal, malformed.id, ctx);
                if self.malformed_in_a_row >= MAX_MALFORMED_IN_A_ROW {
                    self.leave(CloseReason::TooManyMalformed, ctx);
                }
                return;
            }
        };
        self.malformed_in_a_row = 0;
        match frame {
            ClientFrame::Ping { id } => self.tell(&ServerFrame::Pong { id }, ctx),
            ClientFrame::Start | ClientFrame::Resume { .. } if self.open.is_some() => {
                let refusal = Refusal::new(ErrorCode::ValidationError).saying(
                    "This connection has a session already; open another connection for another session.",
                );
                self.refuse(&refusal, None, ctx);
            }
            ClientFrame::Start => self.start(None, ctx),
            ClientFrame::Resume { session_id, resume_token, cursor } => {
                self.resume(session_id, resume_token, cursor, ctx);
            }
            ClientFrame::Question { question, id } => match self.surroundings.intake.take(&question) {
                Err(refusal) => self.refuse(&refusal, id, ctx),
                Ok(question) if self.open.is_none() => self.start(Some((question, id)), ctx),
                Ok(question) => self.ask(question, id, ctx),
            },
            ClientFrame::Cancel { turn_id } => self.cancel(turn_id, ctx),
            ClientFrame::History { before, limit } => self.history(before, limit, ctx),
        }
    }

    /// Stores a new session and, once that is done, asks the question that opened it.
    fn start(&mut self, first: Option<(Question, Option<String>)>, ctx: &mut SocketContext) {
        let now = Timestamp::now();
        if let Err(exceeded) = self.visitor.start_session(now) {
            let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                .after(exceeded.retry_after)
                .saying("Too many conversations were started from your address. Please try again later.");
            return self.refuse(&refusal, first.and_then(|(_, id)| id), ctx);
        }
        let id = SessionId::generate();
        let token = match ResumeToken::generate() {
            Ok(token) => token,
            Err(error) => {
                error!(self.log, "the system has no randomness to give"; "cause" => %error);
                return self.refuse(&Refusal::new(ErrorCode::InternalError), None, ctx);
            }
        };
        let create = CreateSession { session_id: id, token_hash: token.hash(), at: now };
        let created = self.surroundings.neighbours.create.ask(create, PATIENCE);
        // Later frames wait, so that what they ask for finds the session.
        ctx.wait(created.into_actor(self).map(move |created, actor, ctx| {
            match created {
                // The store being slow does not keep a visitor out: the write waits in its buffer.
                Ok(Ok(())) | Err(AskError::Timeout) => {}
                Ok(Err(error)) => return actor.storage_failed(&error, first.and_then(|(_, id)| id), ctx),
                Err(AskError::Closed) => return actor.actor_is_gone("persistence", ctx),
            }
            let surroundings = &actor.surroundings;
            let conversation = Conversation::begin(
                surroundings.limits,
                surroundings.instructions.tokens(),
                &surroundings.intake,
            );
            surroundings.metrics.session.opened_sessions.inc();
            actor.open_session(OpenSession::new(id, conversation), ctx);
            let frame = actor.session_frame(id, token.reveal(), now);
            actor.tell(&ServerFrame::Session(Box::new(frame)), ctx);
            if let Some((question, client_id)) = first {
                actor.ask(question, client_id, ctx);
            }
        }));
    }

    pub(super) fn open_session(&mut self, session: OpenSession, _: &mut SocketContext) {
        self.place.own(session.id, session.conversation.epoch());
        self.log = self.log.new(o!("session_id" => session.id.to_string()));
        info!(self.log, "session open"; "epoch" => session.conversation.epoch());
        self.open = Some(Box::new(session));
    }

    /// The frame about a session, as for a new one.
    pub(super) fn session_frame(&mut self, id: SessionId, token: String, now: Timestamp) -> SessionFrame {
        let surroundings = &self.surroundings;
        let limits = surroundings.limits;
        let mode = surroundings.sources.mode(std::time::Instant::now());
        let remaining = self.open.as_mut().map_or(0, |open| {
            open.told_mode = mode;
            open.conversation.remaining(now)
        });
        SessionFrame {
            session_id: id,
            resume_token: token,
            expires_at: now.plus(surroundings.times.ttl),
            resumed: false,
            recovered: false,
            limits: Limits {
                max_question_chars: MAX_QUESTION_CHARS,
                requests_per_minute: limits.requests_per_minute,
                remaining,
                max_context_tokens: limits.max_context_tokens,
                max_response_tokens: limits.max_response_tokens,
            },
            resume: surroundings.resume.clone(),
            suggestions: Arc::clone(&surroundings.suggestions),
            mode,
            history: Vec::new(),
            more: false,
            request_id: Arc::clone(&self.request_id),
        }
    }

    pub(super) fn remaining(&mut self) -> u32 {
        self.open.as_mut().map_or(0, |open| open.conversation.remaining(Timestamp::now()))
    }

    pub(super) fn tell(&self, frame: &ServerFrame, ctx: &mut SocketContext) {
        if let Err(error) = socket::send(ctx, frame) {
            error!(self.log, "a frame could not be written"; "cause" => %error);
            socket::close(ctx, CloseReason::InternalFault);
        }
    }

    pub(super) fn refuse(&self, refusal: &Refusal, id: Option<String>, ctx: &mut SocketContext) {
        debug!(self.log, "refused"; "code" => ?refusal.code);
        self.tell(&self.error_frame(refusal, id, None), ctx);
    }

    pub(super) fn error_frame(
        &self,
        refusal: &Refusal,
        id: Option<String>,
        turn_id: Option<TurnId>,
    ) -> ServerFrame {
        self.surroundings.metrics.session.error(refusal.code);
        ServerFrame::Error(Box::new(ErrorFrame {
            code: refusal.code,
            message: refusal.message().to_owned(),
            retryable: refusal.retryable,
            retry_after_ms: refusal.retry_after.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            id,
            turn_id,
            request_id: Arc::clone(&self.request_id),
        }))
    }

    pub(super) fn storage_failed(&self, error: &StorageError, id: Option<String>, ctx: &mut SocketContext) {
        warn!(self.log, "the store failed"; "cause" => %error);
        self.refuse(&Refusal::new(ErrorCode::StorageUnavailable), id, ctx);
    }

    /// A shared actor does not exist any more: this connection can do nothing.
    pub(super) fn actor_is_gone(&mut self, which: &'static str, ctx: &mut SocketContext) {
        error!(self.log, "an actor is gone"; "actor" => which);
        self.leave(CloseReason::InternalFault, ctx);
    }

    fn beat(&mut self, ctx: &mut SocketContext) {
        let times = self.surroundings.times;
        let now = Instant::now();
        let answering = self.open.as_ref().is_some_and(|open| open.generation.is_some());
        // Two beats without a sign: the first was the ping that was not answered.
        let silent = now.duration_since(self.last_heard) > times.heartbeat_interval * 2;
        let idle = !answering && now.duration_since(self.last_asked) > times.idle_timeout;
        if silent || idle {
            self.leave(CloseReason::IdleTooLong, ctx);
        } else {
            socket::ping(ctx);
        }
    }
}

receives!(SessionActor, "session", MAILBOX_CAPACITY);

impl Actor for SessionActor {
    type Context = SocketContext;

    fn started(&mut self, ctx: &mut SocketContext) {
        self.place.occupy(Post::to(&ctx.address(), &self.surroundings.metrics.mailboxes));
        ctx.set_mailbox_capacity(Self::CAPACITY);
        ctx.run_interval(self.surroundings.times.heartbeat_interval, Self::beat);
    }

    fn stopped(&mut self, _: &mut SocketContext) {
        if let Some(open) = &self.open {
            info!(self.log, "session closed"; "tokens" => open.conversation.spent());
        }
    }
}

impl Receive<SessionOrder> for SessionActor {
    fn receive(&mut self, order: SessionOrder, ctx: &mut SocketContext) -> Reply<()> {
        match order {
            SessionOrder::ResumedElsewhere => self.leave(CloseReason::ResumedElsewhere, ctx),
            SessionOrder::Draining => {
                let message =
                    "The server is about to restart; this conversation will go on afterwards.".to_owned();
                self.tell(&ServerFrame::Notice { code: NoticeCode::Draining, message }, ctx);
            }
            SessionOrder::Leave if self.has_end_to_tell() => self.leaving = true,
            SessionOrder::Leave => self.leave(CloseReason::Restarting, ctx),
        }
        Reply::Now(())
    }
}
