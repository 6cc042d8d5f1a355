//! `start`: stores a new session.

use std::sync::Arc;
use std::time::Instant;

use slog::{error, info};

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ResumeToken, SessionId};
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::CreateSession;
use crate::protocol::MAX_QUESTION_CHARS;
use crate::protocol::server::{Limits, ServerFrame, SessionFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::handlers::replies::StoreRequestError;
use crate::session::state::conversation::{Conversation, QuestionRequest};
use crate::session::state::open_session::OpenSession;
use crate::session::state::refusal::Refusal;

/// A session that is being stored.
struct UnsavedSession {
    id: SessionId,
    token: ResumeToken,
    created_at: Timestamp,
}

impl SessionActor {
    /// Stores a new session and then submits the question that started it, if there is one.
    pub(crate) fn start(&mut self, question: Option<QuestionRequest>, ctx: &mut SocketContext) {
        let now = Timestamp::now();
        if let Err(exceeded) = self.address_guard.take_session(now) {
            let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                .with_retry_after(exceeded.retry_after)
                .with_message(
                    "Too many conversations were started from your address. Please try again later.",
                );
            return self.refuse(&refusal, question.and_then(|question| question.client_id), ctx);
        }
        let token = match ResumeToken::generate() {
            Ok(token) => token,
            Err(error) => {
                error!(self.log.connection(), "system RNG failed"; "cause" => %error);
                return self.refuse_code(ErrorCode::InternalError, None, ctx);
            }
        };
        let session = UnsavedSession { id: SessionId::generate(), token, created_at: now };
        let create = CreateSession { session_id: session.id, token_hash: session.token.hash(), at: now };
        let created = self.context.actors.create_session.ask(create, STORE_TIMEOUT);
        self.wait_for_store(created, ctx, move |actor, created, ctx| match created {
            // A slow store does not delay the visitor: the write waits in its buffer.
            Ok(()) | Err(StoreRequestError::Timeout) => actor.complete_start(&session, question, ctx),
            Err(error) => {
                actor.refuse_store_error(&error, question.and_then(|question| question.client_id), ctx);
            }
        });
    }

    fn complete_start(
        &mut self,
        new: &UnsavedSession,
        question: Option<QuestionRequest>,
        ctx: &mut SocketContext,
    ) {
        let context = &self.context;
        let system_tokens = context.system_prompt.tokens();
        let conversation = Conversation::new(context.limits, system_tokens, &context.question_validator);
        context.metrics.session.opened_sessions.inc();
        self.open_session(OpenSession::new(new.id, conversation));
        let frame = self.session_frame(new.id, new.token.reveal(), new.created_at);
        self.send(&ServerFrame::Session(Box::new(frame)), ctx);
        if let Some(question) = question {
            self.submit(question, ctx);
        }
    }

    /// Makes this connection serve a session.
    pub(crate) fn open_session(&mut self, session: OpenSession) {
        self.entry.claim_session(session.id(), session.epoch());
        self.log.set_session(session.id());
        info!(self.log.connection(), "session opened"; "epoch" => session.epoch());
        self.session = Some(Box::new(session));
    }

    /// Returns the frame that describes a new session.
    pub(crate) fn session_frame(&mut self, id: SessionId, token: String, now: Timestamp) -> SessionFrame {
        let context = &self.context;
        let limits = context.limits;
        let tokens = context.router.token_limits(limits.tokens);
        let mode = context.router.mode(Instant::now(), now, self.address_guard.address());
        let remaining = self.session.as_mut().map_or(0, |session| {
            session.announce_mode(mode);
            session.remaining(now)
        });
        SessionFrame {
            session_id: id,
            resume_token: token,
            expires_at: now.plus(context.timeouts.ttl),
            resumed: false,
            recovered: false,
            limits: Limits {
                max_question_chars: MAX_QUESTION_CHARS,
                requests_per_minute: limits.requests_per_minute,
                remaining,
                max_context_tokens: tokens.context,
                max_response_tokens: tokens.response,
            },
            resume: context.resume.clone(),
            suggestions: Arc::clone(&context.suggestions),
            mode,
            history: Vec::new(),
            more: false,
            privacy: context.privacy.clone(),
            link_hosts: Arc::clone(&context.link_hosts),
            request_id: Arc::clone(&self.request_id),
        }
    }
}
