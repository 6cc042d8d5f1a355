//! Taking turns: a question is put to the model, and its answer told as it comes.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, StreamHandler, WrapFuture};
use slog::{info, o};
use tokio::time::Instant;

use super::SessionActor;
use super::conversation::{Asked, Refusal};
use super::question::Question;
use super::socket::{self, SocketContext};
use crate::clock::Timestamp;
use crate::ids::TurnId;
use crate::llm::generation::Outcome;
use crate::llm::messages::AskModel;
use crate::llm::prompt::Prompt;
use crate::llm::subscription::Progress;
use crate::mailbox::AskError;
use crate::persistence::PATIENCE;
use crate::protocol::codes::{CloseReason, ErrorCode};
use crate::protocol::server::{AnswerMode, DoneFrame, NoticeCode, ServerFrame};

impl SessionActor {
    pub(super) fn ask(&mut self, question: Question, client_id: Option<String>, ctx: &mut SocketContext) {
        let Some(open) = &mut self.open else { return };
        let now = Timestamp::now();
        self.last_asked = Instant::now();
        if let Some(suspicion) = &question.suspicion {
            let families: Vec<&str> = suspicion.families.iter().map(|family| family.as_str()).collect();
            info!(self.log, "a question looks like an attempt to take over the model";
                "score" => suspicion.score, "families" => families.join(","));
        }
        let (text, tokens) = (Arc::clone(&question.text), question.tokens);
        let asked = open.conversation.ask(now, question, client_id.clone(), &self.surroundings);
        match asked {
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
            Ok(Asked::Current(turn_id)) => {
                let remaining = open.conversation.remaining(now);
                let durable = open.generation.as_ref().is_some_and(|it| it.is_question_durable());
                let frame =
                    ServerFrame::Accepted { id: client_id, turn_id, remaining, durable, duplicate: true };
                self.tell(&frame, ctx);
            }
            Ok(Asked::Earlier(_)) => {
                if let Some(client_id) = client_id {
                    self.answer_again(text, client_id, ctx);
                }
            }
            Ok(Asked::New { turn_id, prompt, newly_pruned }) => {
                // Asked last, because it cannot be given back.
                if let Err(exceeded) = self.visitor.ask(now) {
                    let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                        .after(exceeded.retry_after)
                        .saying("Too many questions come from your address. Please wait a moment.");
                    return self.withdraw(&refusal, ctx);
                }
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
        let reply = self.surroundings.neighbours.ask.ask(ask, PATIENCE);
        ctx.wait(reply.into_actor(self).map(|reply, actor, ctx| match reply {
            Ok(Ok(generation)) => {
                socket::follow(ctx, generation.subscribe(0));
                if let Some(open) = &mut actor.open {
                    open.generation = Some(generation);
                }
            }
            Ok(Err(failure)) => actor.withdraw(&failure.into(), ctx),
            Err(AskError::Timeout) => actor.withdraw(&Refusal::new(ErrorCode::Overloaded), ctx),
            Err(AskError::Closed) => {
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

    pub(super) fn cancel(&mut self, turn_id: Option<TurnId>, ctx: &mut SocketContext) {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        match generation.filter(|it| turn_id.is_none_or(|wanted| wanted == it.turn_id)) {
            Some(generation) => generation.cancel(),
            None => self.refuse(&Refusal::new(ErrorCode::NoSuchTurn), None, ctx),
        }
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
            mode: generation.mode(),
            model: outcome.model.clone(),
            usage: outcome.usage,
            citations: outcome.citations.clone(),
            durable: outcome.durable,
            remaining,
        };
        self.tell(&ServerFrame::Done(Box::new(done)), ctx);
    }

    /// Tells who answers from now on, when that is not who did before.
    fn tell_mode(&mut self, ctx: &mut SocketContext) {
        let Some(open) = &mut self.open else { return };
        let Some(mode) = open.generation.as_ref().map(|generation| generation.mode()) else { return };
        if std::mem::replace(&mut open.told_mode, mode) == mode {
            return;
        }
        let (code, message) = match mode {
            AnswerMode::Excerpts => (
                NoticeCode::Degraded,
                "The language model cannot answer at the moment. What follows is quoted from the resume.",
            ),
            AnswerMode::Live => (NoticeCode::Recovered, "The language model answers again."),
        };
        self.tell(&ServerFrame::Notice { code, message: message.to_owned() }, ctx);
    }

    /// Whether the answer has ended and its visitor was not told so yet.
    pub(super) fn has_end_to_tell(&self) -> bool {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        generation.is_some_and(|generation| generation.is_over())
    }
}

impl StreamHandler<Progress> for SessionActor {
    fn handle(&mut self, progress: Progress, ctx: &mut SocketContext) {
        match progress {
            Progress::Delta(delta) => {
                if !delta.replay {
                    self.tell_mode(ctx);
                }
                self.tell(&ServerFrame::Delta(delta), ctx);
            }
            Progress::Reset => {
                let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
                if let Some(turn_id) = generation.map(|generation| generation.turn_id) {
                    self.tell(&ServerFrame::Reset { turn_id }, ctx);
                }
            }
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
