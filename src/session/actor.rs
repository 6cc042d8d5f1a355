//! The actor of one connection: dispatches frames, commands and timers to the handlers.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext};
use slog::{Logger, debug, info};

use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::impl_mailbox;
use crate::limits::ConnectionGuard;
use crate::mailbox::{Address, Handle, Mailbox, Reply};
use crate::protocol::MAX_MALFORMED_IN_A_ROW;
use crate::protocol::client::{ClientFrame, Malformed};
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{NoticeCode, ServerFrame};
use crate::session::connection::connection_log::ConnectionLog;
use crate::session::connection::keepalive::{ConnectionStatus, Keepalive, KeepaliveAction};
use crate::session::connection::reassembly::{MessageAssembler, MessageFragment};
use crate::session::connection::socket::{self, SocketContext, SocketState};
use crate::session::context::SessionContext;
use crate::session::handlers::feedback::FeedbackRequest;
use crate::session::handlers::resume::ResumeRequest;
use crate::session::messages::SessionCommand;
use crate::session::registry::RegistryEntry;
use crate::session::state::open_session::{ActiveAnswer, OpenSession};
use crate::session::state::refusal::Refusal;
use crate::system::failpoints::{self, Failpoint};

/// The mailbox capacity. A session receives only a few commands in its lifetime.
const MAILBOX_CAPACITY: usize = 16;

/// The actor of one connection: a WebSocket or an event stream.
pub struct SessionActor {
    pub(super) context: Arc<SessionContext>,
    pub(super) entry: RegistryEntry,
    /// Counts the connection, the sessions and the questions of the client address.
    pub(super) address_guard: ConnectionGuard,
    /// The id of the handshake request, which every error frame contains.
    pub(super) request_id: Arc<str>,
    pub(super) log: ConnectionLog,
    pub(super) socket: SocketState,
    /// Whether the connection closes when everything that the client asked for is done.
    closes_when_done: bool,
    assembler: MessageAssembler,
    malformed_in_a_row: u8,
    keepalive: Keepalive,
    /// `None` until the client has started or resumed a session.
    pub(super) session: Option<Box<OpenSession>>,
}

impl SessionActor {
    /// Returns the actor of a connection that has not received anything yet.
    #[must_use]
    pub fn new(
        context: Arc<SessionContext>,
        entry: RegistryEntry,
        address_guard: ConnectionGuard,
        request_id: Arc<str>,
        log: Logger,
        socket: SocketState,
    ) -> Self {
        let keepalive = Keepalive::new(Instant::now(), entry.connection_number(), &context.timeouts);
        Self {
            context,
            entry,
            address_guard,
            request_id,
            log: ConnectionLog::new(log),
            socket,
            closes_when_done: false,
            assembler: MessageAssembler::default(),
            malformed_in_a_row: 0,
            keepalive,
            session: None,
        }
    }

    /// Returns the answer that is being forwarded.
    pub(super) fn answer(&self) -> Option<&ActiveAnswer> {
        self.session.as_ref().and_then(|session| session.answer())
    }

    /// Records that the client has sent something.
    pub(super) fn note_activity(&mut self) {
        self.keepalive.on_frame(Instant::now());
    }

    /// Records that the client has asked a question.
    pub(super) fn note_question(&mut self) {
        self.keepalive.on_question(Instant::now());
    }

    /// Closes the connection.
    pub(super) fn close(&mut self, reason: CloseReason, ctx: &mut SocketContext) {
        debug!(self.log.connection(), "closing connection"; "code" => reason.code());
        match reason {
            CloseReason::SlowConsumer => _ = self.context.metrics.session.slow_consumer_closes.inc(),
            CloseReason::TooManyFrames => _ = self.context.metrics.session.frame_rate_limit_closes.inc(),
            _ => {}
        }
        socket::close(ctx, reason);
    }

    /// Closes the connection when the current answer and the current read of the transcript have
    /// ended. All other requests are done when their successor is handled.
    pub(super) fn close_when_done(&mut self, ctx: &mut SocketContext) {
        self.closes_when_done = true;
        self.close_if_done(ctx);
    }

    /// Closes the connection if it should close when everything is done, and everything is done.
    pub(super) fn close_if_done(&mut self, ctx: &mut SocketContext) {
        let is_busy = self.session.as_ref().is_some_and(|session| session.is_busy());
        if self.closes_when_done && !is_busy {
            self.close(CloseReason::Normal, ctx);
        }
    }

    pub(super) fn on_fragment(&mut self, fragment: MessageFragment<'_>, ctx: &mut SocketContext) {
        match self.assembler.push(fragment) {
            Ok(None) => {}
            Ok(Some(text)) => self.on_text(&text, ctx),
            Err(reason) => self.close(reason, ctx),
        }
    }

    /// Handles a text message of the client.
    pub(super) fn on_text(&mut self, text: &str, ctx: &mut SocketContext) {
        failpoints::hit(Failpoint::SessionText, text);
        match ClientFrame::parse(text) {
            Ok(frame) => {
                self.malformed_in_a_row = 0;
                self.on_frame(frame, ctx);
            }
            Err(malformed) => self.on_malformed(malformed, ctx),
        }
    }

    fn on_malformed(&mut self, malformed: Malformed, ctx: &mut SocketContext) {
        self.malformed_in_a_row += 1;
        let refusal = Refusal::new(ErrorCode::ValidationError)
            .with_message(format!("The request could not be understood: {}.", malformed.problem));
        self.refuse(&refusal, malformed.id, ctx);
        if self.malformed_in_a_row >= MAX_MALFORMED_IN_A_ROW {
            self.close(CloseReason::TooManyMalformed, ctx);
        }
    }

    fn on_frame(&mut self, frame: ClientFrame, ctx: &mut SocketContext) {
        match frame {
            ClientFrame::Ping { id } => self.send(&ServerFrame::Pong { id }, ctx),
            ClientFrame::Start | ClientFrame::Resume { .. } if self.session.is_some() => {
                let refusal = Refusal::new(ErrorCode::ValidationError).with_message(
                    "This connection has a session already. Open another connection for another session.",
                );
                self.refuse(&refusal, None, ctx);
            }
            ClientFrame::Start => self.start(None, ctx),
            ClientFrame::Resume { session_id, resume_token, cursor } => {
                let cursor = cursor.or(self.socket.last_event);
                self.resume(ResumeRequest::new(session_id, resume_token, cursor), ctx);
            }
            ClientFrame::Question { question, id } => self.question(&question, id, ctx),
            ClientFrame::Cancel { turn_id, seen_seq } => self.cancel(turn_id, seen_seq, ctx),
            ClientFrame::Regenerate { id } => self.regenerate(id, ctx),
            ClientFrame::Feedback { turn_id, rating, comment, id } => {
                self.feedback(FeedbackRequest { turn_id, rating, comment, id }, ctx);
            }
            ClientFrame::Forget => self.forget(ctx),
            ClientFrame::History { before, limit } => self.history(before, limit, ctx),
        }
    }

    /// Starts the only timer of the connection.
    fn schedule_check(&self, ctx: &mut SocketContext) {
        let wait = self.keepalive.next_check().saturating_duration_since(Instant::now());
        ctx.run_later(wait, Self::check_connection);
    }

    fn check_connection(&mut self, ctx: &mut SocketContext) {
        let status = ConnectionStatus {
            is_answering: self.answer().is_some(),
            consumer: self.socket.progress.consumer_state(),
        };
        match self.keepalive.poll(Instant::now(), status, &self.context.timeouts) {
            KeepaliveAction::Wait => {}
            KeepaliveAction::Ping => socket::ping(ctx),
            KeepaliveAction::WarnIdle => {
                let message = "This connection will be closed soon unless a question is asked.";
                self.notify(NoticeCode::IdleSoon, message, ctx);
            }
            KeepaliveAction::Close(reason) => return self.close(reason, ctx),
        }
        self.schedule_check(ctx);
    }

    /// Closes the connection for a shutdown, after the client was informed of the end of its
    /// answer.
    fn close_for_shutdown(&mut self, ctx: &mut SocketContext) {
        match &mut self.session {
            Some(session) if session.has_unsent_end() => {
                if let Some(answer) = session.answer_mut() {
                    answer.close_after();
                }
            }
            _ => self.close(CloseReason::Restarting, ctx),
        }
    }
}

impl_mailbox!(SessionActor, Component::Session, MAILBOX_CAPACITY);

impl Actor for SessionActor {
    type Context = SocketContext;

    fn started(&mut self, ctx: &mut SocketContext) {
        self.entry.set_actor(Address::new(&ctx.address(), &self.context.metrics.mailboxes));
        ctx.set_mailbox_capacity(Self::CAPACITY);
        self.schedule_check(ctx);
    }

    fn stopped(&mut self, _: &mut SocketContext) {
        if let Some(session) = &self.session {
            let tokens = session.conversation.used_tokens();
            info!(self.log.connection(), "session closed"; "tokens" => tokens);
        }
    }
}

impl Handle<SessionCommand> for SessionActor {
    fn handle(&mut self, command: SessionCommand, ctx: &mut SocketContext) -> Reply<()> {
        failpoints::hit(Failpoint::SessionCommand, "");
        match command {
            SessionCommand::CloseTakenOver => self.close(CloseReason::TakenOver, ctx),
            SessionCommand::AnnounceShutdown => {
                let message =
                    "The server is about to restart. You can continue this conversation afterwards.";
                self.notify(NoticeCode::Draining, message, ctx);
            }
            SessionCommand::CloseForShutdown => self.close_for_shutdown(ctx),
        }
        Reply::Now(())
    }
}
