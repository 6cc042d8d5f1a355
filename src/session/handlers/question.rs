//! Taking turns: a question is put to the model, and its answer told as it comes.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, StreamHandler, WrapFuture};
use slog::{info, o};
use tokio::time::Instant;

use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::domain::error_code::ErrorCode;
use crate::domain::turn::AnswerMode;
use crate::llm::messages::GenerateAnswer;
use crate::llm::stream::outcome::Outcome;
use crate::llm::stream::subscription::{Delta, Progress, Subscription};
use crate::mailbox::AskError;
use crate::persistence::PATIENCE;
use crate::persistence::messages::LoadSpending;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::server::{DeltaFrame, DoneFrame, NoticeCode, ServerFrame};
use crate::session::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::state::conversation::{Asked, Known, Refusal, Wanted};
use crate::session::state::question_validator::Question;
use crate::system::failpoints;
use crate::system::failpoints::Failpoint;

impl SessionActor {
    /// Takes a question in; without a session yet, it opens one.
    pub(crate) fn question(&mut self, raw: &str, client_id: Option<String>, ctx: &mut SocketContext) {
        match self.take_in(raw) {
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
            Ok(question) => {
                let wanted = Wanted { question, client_id, regenerates: None };
                if self.open.is_none() { self.start(Some(wanted), ctx) } else { self.ask(wanted, ctx) }
            }
        }
    }

    /// Makes a question fit, and notes when it is suspicious.
    pub(crate) fn take_in(&self, raw: &str) -> Result<Question, Refusal> {
        self.surroundings.intake.take(raw, |suspicion| {
            let families: Vec<&str> = suspicion.families.iter().map(|family| family.as_str()).collect();
            info!(self.log, "a question looks like an attempt to take over the model";
                "score" => suspicion.score, "families" => families.join(","));
            self.surroundings.metrics.limits.suspicious(&suspicion.families);
        })
    }

    pub(crate) fn ask(&mut self, wanted: Wanted, ctx: &mut SocketContext) {
        let Some(open) = &mut self.open else { return };
        self.presence.ask(Instant::now());
        match open.conversation.recognise(&wanted) {
            Err(refusal) => self.refuse(&refusal, wanted.client_id, ctx),
            Ok(Known::No) => self.ask_anew(wanted, ctx),
            Ok(Known::Current(turn_id)) => {
                let id = wanted.client_id;
                let remaining = open.conversation.remaining(Timestamp::now());
                let durable = open.generation.as_ref().is_some_and(|it| it.is_question_durable());
                self.tell(&ServerFrame::Accepted { id, turn_id, remaining, durable, duplicate: true }, ctx);
            }
            Ok(Known::Earlier) => self.answer_again(wanted, Self::not_stored_yet, ctx),
            Ok(Known::Perhaps) => self.answer_again(wanted, Self::ask_anew, ctx),
        }
    }

    /// Its turn is known, and not to the store: it waits to be written.
    fn not_stored_yet(&mut self, wanted: Wanted, ctx: &mut SocketContext) {
        self.refuse(&Refusal::new(ErrorCode::StorageUnavailable), wanted.client_id, ctx);
    }

    /// Asks, once it is known what the visitor's accounts have taken.
    fn ask_anew(&mut self, wanted: Wanted, ctx: &mut SocketContext) {
        let Some(open) = &self.open else { return };
        let Some(spending) = self.surroundings.sources.budget() else { return self.put(wanted, ctx) };
        let asker = spending.asker(open.id, self.visitor.address());
        let unknown = spending.unknown(Timestamp::now(), asker);
        if unknown.is_empty() {
            return self.put(wanted, ctx);
        }
        let spending = Arc::clone(spending);
        let loaded =
            self.surroundings.neighbours.load_spending.ask(LoadSpending { accounts: unknown }, PATIENCE);
        ctx.wait(loaded.into_actor(self).map(move |loaded, actor, ctx| match loaded {
            Ok(Ok(stored)) => {
                stored.into_iter().for_each(|(account, amount)| spending.learn(account, amount));
                actor.put(wanted, ctx);
            }
            Ok(Err(error)) => actor.storage_failed(&error, wanted.client_id, ctx),
            Err(AskError::Timeout) => {
                actor.refuse(&Refusal::new(ErrorCode::StorageUnavailable), wanted.client_id, ctx);
            }
            Err(AskError::Closed) => actor.actor_failed(Component::Persistence, wanted.client_id, ctx),
        }));
    }

    fn put(&mut self, wanted: Wanted, ctx: &mut SocketContext) {
        let Some(open) = &mut self.open else { return };
        let now = Timestamp::now();
        let (client_id, regenerates) = (wanted.client_id.clone(), wanted.regenerates);
        let question_tokens = wanted.question.tokens;
        let asked = match open.conversation.ask(now, wanted, &self.surroundings) {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse(&refusal, client_id, ctx),
        };
        // Asked last, because it cannot be given back.
        if let Err(exceeded) = self.visitor.ask(now) {
            let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                .after(exceeded.retry_after)
                .saying("Too many questions come from your address. Please wait a moment.");
            return self.withdraw(&refusal, ctx);
        }
        let Asked { turn_id, prompt, newly_pruned } = asked;
        open.newly_pruned = newly_pruned;
        let log = self.log.new(o!("turn_id" => turn_id.to_string()));
        self.in_turn(Some(&log));
        let Some(open) = &self.open else { return };
        let ask = GenerateAnswer {
            turn_id,
            visitor: self.visitor.address(),
            session_id: open.id,
            epoch: open.conversation.epoch(),
            client_id,
            question_tokens,
            prompt,
            asked_at: now,
            regenerates,
            log,
        };
        let reply = self.surroundings.neighbours.ask.ask(ask, PATIENCE);
        ctx.wait(reply.into_actor(self).map(|reply, actor, ctx| match reply {
            Ok(Ok(generation)) => {
                socket::follow(ctx, Subscription::new(&generation, 0));
                if let Some(open) = &mut actor.open {
                    open.generation = Some(generation);
                }
            }
            Ok(Err(failure)) => actor.withdraw(&failure.into(), ctx),
            Err(AskError::Timeout) => actor.withdraw(&Refusal::new(ErrorCode::Overloaded), ctx),
            Err(AskError::Closed) => {
                actor.note_failed(Component::Llm);
                actor.withdraw(&Refusal::new(ErrorCode::InternalError), ctx);
            }
        }));
    }

    /// The question was not taken after all.
    fn withdraw(&mut self, refusal: &Refusal, ctx: &mut SocketContext) {
        self.in_turn(None);
        let turn = self.open.as_mut().and_then(|open| {
            open.generation = None;
            open.conversation.withdraw()
        });
        self.refuse(refusal, turn.and_then(|turn| turn.client_id), ctx);
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
        self.in_turn(None);
    }

    pub(crate) fn is_between_turns(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.generation.is_none())
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
    pub(crate) fn has_end_to_tell(&self) -> bool {
        let generation = self.open.as_ref().and_then(|open| open.generation.as_ref());
        generation.is_some_and(|generation| generation.is_over())
    }
}

impl StreamHandler<Progress> for SessionActor {
    fn handle(&mut self, progress: Progress, ctx: &mut SocketContext) {
        failpoints::hit(Failpoint::SessionProgress, "");
        match progress {
            Progress::Delta(delta) => {
                if !delta.replay {
                    self.tell_mode(ctx);
                }
                let turn_id =
                    self.open.as_ref().and_then(|open| open.generation.as_ref()).map(|it| it.turn_id);
                if let Some(turn_id) = turn_id {
                    let Delta { seq, text, replay } = delta;
                    self.tell(&ServerFrame::Delta(DeltaFrame { turn_id, seq, text, replay }), ctx);
                }
            }
            Progress::Queued(position) => {
                let Some(turn_id) =
                    self.open.as_ref().and_then(|open| open.generation.as_ref()).map(|it| it.turn_id)
                else {
                    return;
                };
                self.tell(&ServerFrame::Queued { turn_id, position }, ctx);
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
            Progress::Refused(failure) => {
                self.withdraw(&failure.into(), ctx);
                if failure.code == ErrorCode::SessionNotFound {
                    self.look_whether_succeeded(ctx);
                }
            }
            Progress::Ended(outcome) => self.conclude(&outcome, ctx),
        }
        if self.forgetting && self.is_between_turns() {
            return self.forget_now(ctx);
        }
        if self.leaving && !self.has_end_to_tell() {
            self.leave(CloseReason::Restarting, ctx);
        }
    }

    /// An answer that has ended does not end the session.
    fn finished(&mut self, _: &mut SocketContext) {}
}
