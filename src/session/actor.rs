//! The actor of one connection: its life, its frames, and what it tells.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, WrapFuture};
use slog::{Logger, debug, error, info, o, warn};
use tokio::time::Instant;

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ResumeToken, SessionId, TurnId};
use crate::domain::turn::AnswerMode;
use crate::impl_mailbox;
use crate::limits::Admitted;
use crate::llm::stream::generation::Generation;
use crate::mailbox::{Address, AskError, Handle, Mailbox, Reply};
use crate::persistence::messages::CreateSession;
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::client::ClientFrame;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{ErrorFrame, Limits, NoticeCode, ServerFrame, SessionFrame};
use crate::protocol::{MAX_MALFORMED_IN_A_ROW, MAX_QUESTION_CHARS};
use crate::session::connection::frame_guard::Broken;
use crate::session::connection::keepalive::{Presence, Sight, Step};
use crate::session::connection::panic_guard::LogCell;
use crate::session::connection::reassembly::{Fragment, Reassembly};
use crate::session::connection::socket;
use crate::session::connection::socket::{Line, SocketContext};
use crate::session::handlers::commands::Opinion;
use crate::session::registry::Place;
use crate::session::state::conversation::{Conversation, Refusal, Wanted};
use crate::session::{SessionOrder, SessionSurroundings};
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

/// Orders that may wait for a session; each is given once or twice in its life.
const MAILBOX_CAPACITY: usize = 16;

/// One visitor's connection.
pub struct SessionActor {
    pub(crate) surroundings: Arc<SessionSurroundings>,
    pub(crate) place: Place,
    /// Its address, which has limits of its own.
    pub(crate) visitor: Admitted,
    /// The id of the handshake request; every frame that reports a fault carries it.
    pub(crate) request_id: Arc<str>,
    pub(crate) log: Logger,
    /// The same, or that of the turn, for who catches its panics.
    current_log: LogCell,
    line: Line,
    reassembly: Reassembly,
    malformed_in_a_row: u8,
    /// `None` until the client has started or resumed a session.
    pub(crate) open: Option<Box<OpenSession>>,
    pub(crate) reading_history: bool,
    /// The conversation is to be deleted when the answer under way has ended.
    pub(crate) forgetting: bool,
    /// The server leaves; the connection does when the answer's end is told.
    pub(crate) leaving: bool,
    pub(crate) presence: Presence,
}

/// The session this connection speaks for.
pub(crate) struct OpenSession {
    pub(crate) id: SessionId,
    pub(crate) conversation: Conversation,
    /// The answer being given.
    pub(crate) generation: Option<Arc<Generation>>,
    /// Tell with the acceptance that older messages left the prompt.
    pub(crate) newly_pruned: bool,
    /// Who answers, as the client was told last.
    pub(crate) told_mode: AnswerMode,
}

impl OpenSession {
    pub(crate) fn new(id: SessionId, conversation: Conversation) -> Self {
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
        line: Line,
    ) -> Self {
        let presence = Presence::begin(Instant::now(), place.number(), &surroundings.times);
        Self {
            surroundings,
            place,
            visitor,
            request_id,
            current_log: Rc::new(RefCell::new(log.clone())),
            log,
            line,
            reassembly: Reassembly::default(),
            malformed_in_a_row: 0,
            open: None,
            reading_history: false,
            forgetting: false,
            leaving: false,
            presence,
        }
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.line.broken.get()
    }

    pub(crate) fn log_cell(&self) -> LogCell {
        Rc::clone(&self.current_log)
    }

    /// Whatever happens from now on happens in the turn, or in none.
    pub(crate) fn in_turn(&self, turn: Option<&Logger>) {
        *self.current_log.borrow_mut() = turn.unwrap_or(&self.log).clone();
    }

    pub(crate) fn client_is_there(&mut self) {
        self.presence.hear(Instant::now());
    }

    pub(crate) fn leave(&mut self, reason: CloseReason, ctx: &mut SocketContext) {
        debug!(self.log, "closing"; "code" => reason.code());
        match reason {
            CloseReason::CannotKeepUp => _ = self.surroundings.metrics.session.slow_readers.inc(),
            CloseReason::TooManyFrames => _ = self.surroundings.metrics.session.floods.inc(),
            _ => {}
        }
        socket::close(ctx, reason);
    }

    pub(crate) fn on_fragment(&mut self, fragment: Fragment<'_>, ctx: &mut SocketContext) {
        match self.reassembly.take(fragment) {
            Ok(None) => {}
            Ok(Some(text)) => self.on_text(&text, ctx),
            Err(reason) => self.leave(reason, ctx),
        }
    }

    pub(crate) fn on_text(&mut self, text: &str, ctx: &mut SocketContext) {
        failpoints::hit(Failpoint::SessionText, text);
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
            ClientFrame::Question { question, id } => self.question(&question, id, ctx),
            ClientFrame::Cancel { turn_id, seen_seq } => self.cancel(turn_id, seen_seq, ctx),
            ClientFrame::Regenerate { id } => self.regenerate(id, ctx),
            ClientFrame::Feedback { turn_id, rating, comment, id } => {
                self.take_feedback(Opinion { turn_id, rating, comment, id }, ctx);
            }
            ClientFrame::Forget => self.forget(ctx),
            ClientFrame::History { before, limit } => self.history(before, limit, ctx),
        }
    }

    /// Stores a new session and, once that is done, asks the question that opened it.
    pub(crate) fn start(&mut self, first: Option<Wanted>, ctx: &mut SocketContext) {
        let now = Timestamp::now();
        if let Err(exceeded) = self.visitor.start_session(now) {
            let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                .after(exceeded.retry_after)
                .saying("Too many conversations were started from your address. Please try again later.");
            return self.refuse(&refusal, first.and_then(|it| it.client_id), ctx);
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
                Ok(Err(error)) => {
                    return actor.storage_failed(&error, first.and_then(|it| it.client_id), ctx);
                }
                Err(AskError::Closed) => {
                    return actor.actor_failed(
                        Component::Persistence,
                        first.and_then(|it| it.client_id),
                        ctx,
                    );
                }
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
            if let Some(wanted) = first {
                actor.ask(wanted, ctx);
            }
        }));
    }

    pub(crate) fn open_session(&mut self, session: OpenSession, _: &mut SocketContext) {
        self.place.own(session.id, session.conversation.epoch());
        self.log = self.log.new(o!("session_id" => session.id.to_string()));
        self.in_turn(None);
        info!(self.log, "session open"; "epoch" => session.conversation.epoch());
        self.open = Some(Box::new(session));
    }

    /// The frame about a session, as for a new one.
    pub(crate) fn session_frame(&mut self, id: SessionId, token: String, now: Timestamp) -> SessionFrame {
        let surroundings = &self.surroundings;
        let limits = surroundings.limits;
        let mode = surroundings.sources.mode(std::time::Instant::now(), now);
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

    pub(crate) fn remaining(&mut self) -> u32 {
        self.open.as_mut().map_or(0, |open| open.conversation.remaining(Timestamp::now()))
    }

    pub(crate) fn tell(&self, frame: &ServerFrame, ctx: &mut SocketContext) {
        if let Err(error) = socket::send(ctx, frame) {
            error!(self.log, "a frame could not be written"; "cause" => %error);
            socket::close(ctx, CloseReason::InternalFault);
        }
    }

    pub(crate) fn refuse(&self, refusal: &Refusal, id: Option<String>, ctx: &mut SocketContext) {
        debug!(self.log, "refused"; "code" => ?refusal.code);
        self.tell(&self.error_frame(refusal, id, None), ctx);
    }

    pub(crate) fn error_frame(
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

    pub(crate) fn storage_failed(&self, error: &StorageError, id: Option<String>, ctx: &mut SocketContext) {
        warn!(self.log, "the store failed"; "cause" => %error);
        let code = match error {
            StorageError::Panicked(_) => ErrorCode::InternalError,
            _ => ErrorCode::StorageUnavailable,
        };
        self.refuse(&Refusal::new(code), id, ctx);
    }

    /// A shared actor panicked over what this session asked of it. It is made anew, so that asking again may succeed.
    pub(crate) fn actor_failed(&self, which: Component, id: Option<String>, ctx: &mut SocketContext) {
        self.note_failed(which);
        self.refuse(&Refusal::new(ErrorCode::InternalError), id, ctx);
    }

    /// Logs why a shared actor did not answer.
    pub(crate) fn note_failed(&self, which: Component) {
        match self.surroundings.supervision.newest(which) {
            Some(panic) => {
                error!(self.log, "an actor failed over a request"; "actor" => which.as_str(), &panic);
            }
            None => error!(self.log, "an actor is gone"; "actor" => which.as_str()),
        }
    }

    /// The connection's one timer, set anew after each look.
    fn look_later(&self, ctx: &mut SocketContext) {
        let wait = self.presence.look_at().saturating_duration_since(Instant::now());
        ctx.run_later(wait, Self::look);
    }

    fn look(&mut self, ctx: &mut SocketContext) {
        let sight = Sight {
            answering: self.open.as_ref().is_some_and(|open| open.generation.is_some()),
            reader: self.line.pulse.reader(),
        };
        match self.presence.look(Instant::now(), sight, &self.surroundings.times) {
            Step::Wait => {}
            Step::Ping => socket::ping(ctx),
            Step::WarnIdle => {
                let message = "This connection will be closed soon unless a question is asked.".to_owned();
                self.tell(&ServerFrame::Notice { code: NoticeCode::IdleSoon, message }, ctx);
            }
            Step::Close(reason) => return self.leave(reason, ctx),
        }
        self.look_later(ctx);
    }
}

impl_mailbox!(SessionActor, Component::Session, MAILBOX_CAPACITY);

impl Actor for SessionActor {
    type Context = SocketContext;

    fn started(&mut self, ctx: &mut SocketContext) {
        self.place.occupy(Address::new(&ctx.address(), &self.surroundings.metrics.mailboxes));
        ctx.set_mailbox_capacity(Self::CAPACITY);
        self.look_later(ctx);
    }

    fn stopped(&mut self, _: &mut SocketContext) {
        if let Some(open) = &self.open {
            info!(self.log, "session closed"; "tokens" => open.conversation.spent());
        }
    }
}

impl Handle<SessionOrder> for SessionActor {
    fn handle(&mut self, order: SessionOrder, ctx: &mut SocketContext) -> Reply<()> {
        failpoints::hit(Failpoint::SessionOrder, "");
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
