//! Forwards the progress of an answer to the client.

use std::sync::Arc;

use actix::StreamHandler;

use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::turn::AnswerMode;
use crate::llm::stream::outcome::{Acceptance, Outcome};
use crate::llm::stream::subscription::{AnswerProgress, Delta};
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{DeltaFrame, DoneFrame, NoticeCode, ServerFrame};
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::state::open_session::{ActiveAnswer, AfterAnswer};
use crate::session::state::refusal::Refusal;
use crate::system::failpoints::{self, Failpoint};

impl SessionActor {
    fn on_accepted(&mut self, acceptance: &Acceptance, ctx: &mut SocketContext) {
        let remaining = self.remaining();
        let Some(session) = &self.session else { return };
        let Some(turn) = session.conversation.open_turn() else { return };
        let frame = ServerFrame::Accepted {
            id: turn.client_id.clone(),
            turn_id: turn.turn_id,
            remaining,
            durable: acceptance.durable,
            duplicate: false,
        };
        self.send(&frame, ctx);
        if session.answer().is_some_and(ActiveAnswer::is_context_pruned) {
            let message = "The oldest messages of this conversation are no longer taken into account.";
            self.notify(NoticeCode::ContextPruned, message, ctx);
        }
    }

    fn on_refused(&mut self, failure: Failure, ctx: &mut SocketContext) {
        let after = self.withdraw(&failure.into(), ctx);
        if failure.code == ErrorCode::SessionNotFound {
            self.check_takeover(ctx);
        }
        self.after_answer(after, ctx);
    }

    fn on_ended(&mut self, outcome: &Arc<Outcome>, ctx: &mut SocketContext) {
        let remaining = self.remaining();
        let Some(session) = &mut self.session else { return };
        let Some(answer) = session.finish_answer(outcome) else { return };
        let generation = answer.generation();
        let turn_id = generation.turn_id;
        if let Some(failure) = outcome.failure {
            let frame = self.error_frame(&failure.into(), None, Some(turn_id));
            self.send(&frame, ctx);
        }
        let done = DoneFrame {
            turn_id,
            status: outcome.status,
            mode: generation.mode(),
            model: outcome.model.clone(),
            usage: outcome.usage,
            usage_estimated: outcome.usage.is_estimated(),
            citations: outcome.citations.clone(),
            durable: outcome.durable,
            remaining,
        };
        self.send(&ServerFrame::Done(Box::new(done)), ctx);
        self.log.leave_turn();
        self.after_answer(answer.after(), ctx);
    }

    /// Removes a turn that was not accepted and refuses its question.
    pub(crate) fn withdraw(&mut self, refusal: &Refusal, ctx: &mut SocketContext) -> AfterAnswer {
        self.log.leave_turn();
        let (turn, after) =
            self.session.as_mut().map_or((None, AfterAnswer::Continue), |session| session.withdraw_answer());
        self.refuse(refusal, turn.and_then(|turn| turn.client_id), ctx);
        after
    }

    fn after_answer(&mut self, after: AfterAnswer, ctx: &mut SocketContext) {
        match after {
            AfterAnswer::Continue => self.close_if_done(ctx),
            AfterAnswer::DeleteConversation => self.delete_conversation(ctx),
            AfterAnswer::CloseForShutdown => self.close(CloseReason::Restarting, ctx),
        }
    }

    /// Informs the client if another mode than before produces the answer.
    fn announce_mode(&mut self, ctx: &mut SocketContext) {
        let Some(session) = &mut self.session else { return };
        let Some(mode) = session.answer().map(|answer| answer.generation().mode()) else { return };
        if !session.announce_mode(mode) {
            return;
        }
        let (code, message) = match mode {
            AnswerMode::Excerpts => (
                NoticeCode::Degraded,
                "The language model cannot answer at the moment. What follows is quoted from the resume.",
            ),
            AnswerMode::Live => (NoticeCode::Recovered, "The language model answers again."),
        };
        self.notify(code, message, ctx);
    }
}

impl StreamHandler<AnswerProgress> for SessionActor {
    fn handle(&mut self, progress: AnswerProgress, ctx: &mut SocketContext) {
        failpoints::hit(Failpoint::SessionProgress, "");
        let turn_id = self.answer().map(|answer| answer.generation().turn_id);
        match progress {
            AnswerProgress::Accepted(acceptance) => self.on_accepted(&acceptance, ctx),
            AnswerProgress::Refused(failure) => self.on_refused(failure, ctx),
            AnswerProgress::Queued(position) => {
                if let Some(turn_id) = turn_id {
                    self.send(&ServerFrame::Queued { turn_id, position }, ctx);
                }
            }
            AnswerProgress::Thinking => {
                if let Some(turn_id) = turn_id {
                    self.send(&ServerFrame::Thinking { turn_id }, ctx);
                }
            }
            AnswerProgress::Delta(Delta { seq, text, replay }) => {
                if !replay {
                    self.announce_mode(ctx);
                }
                if let Some(turn_id) = turn_id {
                    self.send(&ServerFrame::Delta(DeltaFrame { turn_id, seq, text, replay }), ctx);
                }
            }
            AnswerProgress::Reset => {
                if let Some(turn_id) = turn_id {
                    self.send(&ServerFrame::Reset { turn_id }, ctx);
                }
            }
            AnswerProgress::Ended(outcome) => self.on_ended(&outcome, ctx),
        }
    }

    /// The session continues after the end of an answer.
    fn finished(&mut self, _: &mut SocketContext) {}
}
