//! The actor of one connection: it carries out what its conversation decides.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Handler, StreamHandler, WrapFuture};
use slog::{Logger, debug, error, info, o, warn};
use tokio::time::Instant;

use super::conversation::{Asked, Conversation, Refusal, duplicate};
use super::frame_guard::{Broken, BrokenCell};
use super::inbound::{Fragment, Reassembly};
use super::registry::Place;
use super::socket::{self, SocketContext};
use super::{SessionOrder, SessionSurroundings, question};
use crate::clock::Timestamp;
use crate::ids::{ResumeToken, SessionId, TurnId};
use crate::llm::generation::{Generation, Outcome};
use crate::llm::messages::AskModel;
use crate::llm::prompt::Prompt;
use crate::llm::subscription::Progress;
use crate::persistence::messages::{CreateSession, FindTurn, LoadHistory, StoredTurn, TranscriptPage};
use crate::persistence::{PATIENCE, StorageError};
use crate::protocol::client::ClientFrame;
use crate::protocol::codes::{CloseReason, ErrorCode};
use crate::protocol::server::{
    AnswerMode, DeltaFrame, DoneFrame, ErrorFrame, HistoryMessage, Limits, NoticeCode, Role, ServerFrame,
    SessionFrame, TurnStatus,
};
use crate::protocol::{MAX_HISTORY_LIMIT, MAX_MALFORMED_IN_A_ROW, MAX_QUESTION_CHARS};

/// One visitor's connection.
pub struct SessionActor {
    pub(super) surroundings: Arc<SessionSurroundings>,
    pub(super) place: Place,
    /// The id of the handshake request; every frame that reports a fault carries it.
    pub(super) request_id: Arc<str>,
    pub(super) log: Logger,
    broken: BrokenCell,
    reassembly: Reassembly,
    malformed_in_a_row: u8,
    /// `None` until the client has started or resumed a session.
    pub(super) open: Option<Box<OpenSession>>,
    reading_history: bool,
    /// The server leaves as soon as the end of the current answer is told.
    leaving: bool,
    last_heard: Instant,
    last_asked: Instant,
}

/// The session this connection speaks for.
pub(super) struct OpenSession {
    pub(super) id: SessionId,
    pub(super) conversation: Conversation,
    /// The answer being given.
    pub(super) generation: Option<Arc<Generation>>,
    /// Tell with the acceptance that older messages left the prompt.
    newly_pruned: bool,
}

impl OpenSession {
    pub(super) fn new(id: SessionId, conversation: Conversation) -> Self {
        Self { id, conversation, generation: None, newly_pruned: false }
    }
}

impl SessionActor {
    /// A connection that has not said anything yet.
    #[must_use]
    pub fn new(
        surroundings: Arc<SessionSurroundings>,
        place: Place,
        request_id: Arc<str>,
        log: Logger,
        broken: BrokenCell,
    ) -> Self {
        let now = Instant::now();
        Self {
            surroundings,
            place,
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
            ClientFrame::Question { question, id } => match question::accept(&question) {
                Err(refusal) => self.refuse(&refusal, id, ctx),
                Ok(question) if self.open.is_none() => self.start(Some((question, id)), ctx),
                Ok(question) => self.ask(question, id, ctx),
            },
            ClientFrame::Cancel { turn_id } => self.cancel(turn_id, ctx),
            ClientFrame::History { before, limit } => self.history(before, limit, ctx),
        }
    }

    /// Stores a new session and, once that is done, asks the question that opened it.
    fn start(&mut self, first: Option<(Arc<str>, Option<String>)>, ctx: &mut SocketContext) {
        let id = SessionId::generate();
        let token = match ResumeToken::generate() {
            Ok(token) => token,
            Err(error) => {
                error!(self.log, "the system has no randomness to give"; "cause" => %error);
                return self.refuse(&Refusal::new(ErrorCode::InternalError), None, ctx);
            }
        };
        let now = Timestamp::now();
        let create = CreateSession { session_id: id, token_hash: token.hash(), at: now };
        let created = self.surroundings.neighbours.create.send(create).timeout(PATIENCE);
        // Later frames wait, so that what they ask for finds the session.
        ctx.wait(created.into_actor(self).map(move |created, actor, ctx| {
            match created {
                // The store being slow does not keep a visitor out: the write waits in its buffer.
                Ok(Ok(())) | Err(actix::MailboxError::Timeout) => {}
                Ok(Err(error)) => return actor.storage_failed(&error, first.and_then(|(_, id)| id), ctx),
                Err(actix::MailboxError::Closed) => return actor.actor_is_gone("persistence", ctx),
            }
            let surroundings = &actor.surroundings;
            let conversation = Conversation::begin(surroundings.limits, surroundings.system_tokens);
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
        let remaining = self.open.as_mut().map_or(0, |open| open.conversation.remaining(now));
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
            mode: surroundings.mode,
            history: Vec::new(),
            more: false,
            request_id: Arc::clone(&self.request_id),
        }
    }

    fn ask(&mut self, question: Arc<str>, client_id: Option<String>, ctx: &mut SocketContext) {
        let Some(open) = &mut self.open else { return };
        let now = Timestamp::now();
        self.last_asked = Instant::now();
        let tokens = self.surroundings.counter.count(&question);
        let asked =
            open.conversation.ask(now, Arc::clone(&question), tokens, client_id.clone(), &self.surroundings);
        match asked {
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
            Ok(Asked::Current(turn_id)) => {
                let remaining = open.conversation.remaining(now);
                let frame = ServerFrame::Accepted {
                    id: client_id,
                    turn_id,
                    remaining,
                    durable: true,
                    duplicate: true,
                };
                self.tell(&frame, ctx);
            }
            Ok(Asked::Earlier(_)) => {
                if let Some(client_id) = client_id {
                    self.answer_again(question, client_id, ctx);
                }
            }
            Ok(Asked::New { turn_id, prompt, newly_pruned }) => {
                open.newly_pruned = newly_pruned;
                self.ask_model(turn_id, prompt, tokens, client_id, now, ctx);
            }
        }
    }

    fn ask_model(
        &mut self,
        turn_id: TurnId,
        prompt: Prompt,
        question_tokens: u32,
        client_id: Option<String>,
        asked_at: Timestamp,
        ctx: &mut SocketContext,
    ) {
        let Some(open) = &self.open else { return };
        let ask = AskModel {
            turn_id,
            session_id: open.id,
            epoch: open.conversation.epoch(),
            client_id,
            question_tokens,
            prompt,
            asked_at,
            log: self.log.new(o!("turn_id" => turn_id.to_string())),
        };
        let reply = self.surroundings.neighbours.ask.send(ask).timeout(PATIENCE);
        ctx.wait(reply.into_actor(self).map(|reply, actor, ctx| match reply {
            Ok(Ok(generation)) => {
                socket::follow(ctx, generation.subscribe(0));
                if let Some(open) = &mut actor.open {
                    open.generation = Some(generation);
                }
            }
            Ok(Err(failure)) => actor.withdraw(&failure.into(), ctx),
            Err(actix::MailboxError::Timeout) => actor.withdraw(&Refusal::new(ErrorCode::Overloaded), ctx),
            Err(actix::MailboxError::Closed) => {
                actor.withdraw(&Refusal::new(ErrorCode::InternalError), ctx);
                actor.actor_is_gone("llm", ctx);
            }
        }));
    }

    /// The question was not taken after all.
    fn withdraw(&mut self, refusal: &Refusal, ctx: &mut SocketContext) {
        let turn = self.open.as_mut().and_then(|open| {
            open.generation = None;
            open.conversation.withdraw()
        });
        self.refuse(refusal, turn.and_then(|turn| turn.client_id), ctx);
    }

    /// A question with an id that was used before: says the earlier answer again, if it is the same question.
    fn answer_again(&mut self, question: Arc<str>, client_id: String, ctx: &mut SocketContext) {
        let Some(open) = &self.open else { return };
        let find = FindTurn { session_id: open.id, client_id: client_id.clone() };
        let found = self.surroundings.neighbours.find_turn.send(find).timeout(PATIENCE);
        ctx.wait(found.into_actor(self).map(move |found, actor, ctx| match found {
            Ok(Ok(Some(turn))) if turn.question.content != question => {
                actor.refuse(&duplicate(), Some(client_id), ctx);
            }
            Ok(Ok(Some(turn))) if turn.status != TurnStatus::Answering => actor.tell_again(&turn, ctx),
            // Its end waits to be written.
            Ok(Ok(Some(_) | None)) | Err(actix::MailboxError::Timeout) => {
                actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), Some(client_id), ctx);
            }
            Ok(Err(error)) => actor.storage_failed(&error, Some(client_id), ctx),
            Err(actix::MailboxError::Closed) => actor.actor_is_gone("persistence", ctx),
        }));
    }

    /// Says a stored turn as if it happened now.
    fn tell_again(&mut self, turn: &StoredTurn, ctx: &mut SocketContext) {
        let remaining = self.remaining();
        let accepted = ServerFrame::Accepted {
            id: turn.client_id.clone(),
            turn_id: turn.turn_id,
            remaining,
            durable: true,
            duplicate: true,
        };
        self.tell(&accepted, ctx);
        if let Some(answer) = turn.answer.as_ref().filter(|answer| !answer.content.is_empty()) {
            let text = answer.content.to_string();
            self.tell(
                &ServerFrame::Delta(DeltaFrame { turn_id: turn.turn_id, seq: 1, text, replay: true }),
                ctx,
            );
        }
        if turn.status == TurnStatus::Failed {
            // The store does not keep why.
            let failure = Refusal::new(ErrorCode::ApiError);
            self.tell(&self.error_frame(&failure, None, Some(turn.turn_id)), ctx);
        }
        let done = DoneFrame {
            turn_id: turn.turn_id,
            status: turn.status,
            mode: turn.mode.unwrap_or(AnswerMode::Live),
            model: turn.model.clone(),
            usage: turn.usage,
            citations: Vec::new(),
            durable: true,
            remaining,
        };
        self.tell(&ServerFrame::Done(Box::new(done)), ctx);
    }

    fn cancel(&mut self, turn_id: Option<TurnId>, ctx: &mut SocketContext) {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        match generation.filter(|it| turn_id.is_none_or(|wanted| wanted == it.turn_id)) {
            Some(generation) => generation.cancel(),
            None => self.refuse(&Refusal::new(ErrorCode::NoSuchTurn), None, ctx),
        }
    }

    fn history(&mut self, before: Option<TurnId>, limit: Option<usize>, ctx: &mut SocketContext) {
        let Some(open) = &self.open else {
            let refusal = Refusal::new(ErrorCode::ValidationError).saying("There is no session yet.");
            return self.refuse(&refusal, None, ctx);
        };
        // One at a time: the replies of a client that does not read would pile up otherwise.
        if std::mem::replace(&mut self.reading_history, true) {
            return self.refuse(&Refusal::new(ErrorCode::Overloaded), None, ctx);
        }
        let load = LoadHistory { session_id: open.id, before, limit: limit.unwrap_or(MAX_HISTORY_LIMIT) };
        let page = self.surroundings.neighbours.load_history.send(load).timeout(PATIENCE);
        ctx.spawn(page.into_actor(self).map(|page, actor, ctx| {
            actor.reading_history = false;
            match page {
                Ok(Ok(TranscriptPage { turns, more })) => {
                    let messages = turns.iter().flat_map(transcript).collect();
                    actor.tell(&ServerFrame::History { messages, more }, ctx);
                }
                Ok(Err(error)) => actor.storage_failed(&error, None, ctx),
                Err(actix::MailboxError::Timeout) => {
                    actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), None, ctx);
                }
                Err(actix::MailboxError::Closed) => actor.actor_is_gone("persistence", ctx),
            }
        }));
    }

    /// The answer has ended.
    fn conclude(&mut self, outcome: &Outcome, ctx: &mut SocketContext) {
        let remaining = self.remaining();
        let Some(open) = &mut self.open else { return };
        let Some(generation) = open.generation.take() else { return };
        open.conversation.end(generation.text(), outcome.answer_tokens, outcome.usage);
        let turn_id = generation.turn_id;
        if let Some(failure) = outcome.failure {
            let frame = self.error_frame(&failure.into(), None, Some(turn_id));
            self.tell(&frame, ctx);
        }
        let done = DoneFrame {
            turn_id,
            status: outcome.status,
            mode: generation.mode,
            model: outcome.model.clone(),
            usage: outcome.usage,
            citations: outcome.citations.clone(),
            durable: outcome.durable,
            remaining,
        };
        self.tell(&ServerFrame::Done(Box::new(done)), ctx);
    }

    /// Whether the answer has ended and its visitor was not told so yet.
    fn has_end_to_tell(&self) -> bool {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        generation.is_some_and(|generation| generation.is_over())
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

    fn error_frame(&self, refusal: &Refusal, id: Option<String>, turn_id: Option<TurnId>) -> ServerFrame {
        ServerFrame::Error(Box::new(ErrorFrame {
            code: refusal.code,
            message: refusal.message().to_owned(),
            retryable: refusal.code.entry().retryable,
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

impl Actor for SessionActor {
    type Context = SocketContext;

    fn started(&mut self, ctx: &mut SocketContext) {
        self.place.occupy(ctx.address().recipient());
        ctx.run_interval(self.surroundings.times.heartbeat_interval, Self::beat);
    }

    fn stopped(&mut self, _: &mut SocketContext) {
        if let Some(open) = &self.open {
            info!(self.log, "session closed"; "tokens" => open.conversation.spent());
        }
    }
}

impl StreamHandler<Progress> for SessionActor {
    fn handle(&mut self, progress: Progress, ctx: &mut SocketContext) {
        match progress {
            Progress::Delta(delta) => self.tell(&ServerFrame::Delta(delta), ctx),
            Progress::Accepted(acceptance) => {
                let remaining = self.remaining();
                let Some(open) = &mut self.open else { return };
                let Some(turn) = open.conversation.turn() else { return };
                let frame = ServerFrame::Accepted {
                    id: turn.client_id.clone(),
                    turn_id: turn.turn_id,
                    remaining,
                    durable: acceptance.durable,
                    duplicate: false,
                };
                let newly_pruned = std::mem::take(&mut open.newly_pruned);
                self.tell(&frame, ctx);
                if newly_pruned {
                    let message =
                        "The oldest messages of this conversation are no longer taken into account.";
                    let code = NoticeCode::ContextPruned;
                    self.tell(&ServerFrame::Notice { code, message: message.to_owned() }, ctx);
                }
            }
            Progress::Refused(failure) => self.withdraw(&failure.into(), ctx),
            Progress::Ended(outcome) => self.conclude(&outcome, ctx),
        }
        if self.leaving && !self.has_end_to_tell() {
            self.leave(CloseReason::Restarting, ctx);
        }
    }

    /// An answer that has ended does not end the session.
    fn finished(&mut self, _: &mut SocketContext) {}
}

impl Handler<SessionOrder> for SessionActor {
    type Result = ();

    fn handle(&mut self, order: SessionOrder, ctx: &mut SocketContext) {
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
    }
}

/// The messages of a turn as clients see them.
pub(super) fn transcript(turn: &StoredTurn) -> impl Iterator<Item = HistoryMessage> + use<> {
    let message = |role, said: &crate::persistence::messages::StoredMessage| HistoryMessage {
        turn_id: turn.turn_id,
        role,
        content: Arc::clone(&said.content),
        tokens: said.tokens,
        created_at: said.at,
        status: turn.status,
        mode: turn.mode.filter(|_| role == Role::Assistant),
    };
    let question = message(Role::User, &turn.question);
    let answer =
        turn.answer.as_ref().filter(|it| !it.content.is_empty()).map(|it| message(Role::Assistant, it));
    std::iter::once(question).chain(answer)
}
