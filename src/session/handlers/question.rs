//! `question` and `regenerate`: validates a question and submits it to the LLM actor.

use std::sync::Arc;

use slog::info;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::llm::messages::GenerateAnswer;
use crate::llm::stream::subscription::Subscription;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::LoadBudgetUsage;
use crate::protocol::server::ServerFrame;
use crate::session::actor::SessionActor;
use crate::session::connection::socket;
use crate::session::connection::socket::SocketContext;
use crate::session::state::conversation::{Dedup, PreparedTurn, QuestionRequest};
use crate::session::state::open_session::ActiveAnswer;
use crate::session::state::question_validator::Question;
use crate::session::state::refusal::Refusal;

impl SessionActor {
    /// Handles a question. Starts a session if there is none.
    pub(crate) fn question(&mut self, raw: &str, client_id: Option<String>, ctx: &mut SocketContext) {
        match self.validate(raw) {
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
            Ok(question) => {
                let request = QuestionRequest { question, client_id, regenerates: None };
                if self.session.is_none() {
                    self.start(Some(request), ctx);
                } else {
                    self.submit(request, ctx);
                }
            }
        }
    }

    /// Submits the last question again, to replace its answer.
    pub(crate) fn regenerate(&mut self, client_id: Option<String>, ctx: &mut SocketContext) {
        let last = self.session.as_ref().and_then(|session| session.conversation.last_question());
        let Some((last_turn, question)) = last else {
            return self.refuse_code(ErrorCode::NoSuchTurn, client_id, ctx);
        };
        // Validated again, because the owner can have changed the policy.
        match self.validate(&question) {
            Ok(question) => {
                self.submit(QuestionRequest { question, client_id, regenerates: Some(last_turn) }, ctx);
            }
            Err(refusal) => self.refuse(&refusal, client_id, ctx),
        }
    }

    /// Validates a question, and logs and counts it if it is suspicious.
    fn validate(&self, raw: &str) -> Result<Question, Refusal> {
        self.context.question_validator.validate(raw, |assessment| {
            let categories: Vec<&str> =
                assessment.categories.iter().map(|category| category.as_str()).collect();
            info!(self.log.connection(), "possible prompt injection";
                "score" => assessment.score, "categories" => categories.join(","));
            self.context
                .metrics
                .limits
                .count_suspicious(assessment.categories.iter().map(|category| category.as_str()));
        })
    }

    /// Submits a question, unless it is a duplicate.
    pub(crate) fn submit(&mut self, request: QuestionRequest, ctx: &mut SocketContext) {
        self.note_question();
        let Some(session) = &mut self.session else { return };
        match session.conversation.check_duplicate(&request) {
            Err(refusal) => self.refuse(&refusal, request.client_id, ctx),
            Ok(Dedup::New) => self.load_budget_then_submit(request, ctx),
            Ok(Dedup::InProgress(turn_id)) => {
                let id = request.client_id;
                let remaining = session.remaining(Timestamp::now());
                let durable =
                    session.answer().is_some_and(|answer| answer.generation().is_question_durable());
                self.send(&ServerFrame::Accepted { id, turn_id, remaining, durable, duplicate: true }, ctx);
            }
            Ok(Dedup::UsedBefore) => self.replay_duplicate(request, Self::refuse_unstored, ctx),
            Ok(Dedup::Unknown) => self.replay_duplicate(request, Self::load_budget_then_submit, ctx),
        }
    }

    /// Refuses a question that was asked before, but is not in the store yet.
    fn refuse_unstored(&mut self, request: QuestionRequest, ctx: &mut SocketContext) {
        self.refuse_code(ErrorCode::StorageUnavailable, request.client_id, ctx);
    }

    /// Loads the budget usage of the visitor's accounts if it is not in memory, and submits the
    /// question.
    fn load_budget_then_submit(&mut self, request: QuestionRequest, ctx: &mut SocketContext) {
        let Some(session) = &self.session else { return };
        let Some(budget) = self.context.router.budget() else {
            return self.submit_to_model(request, ctx);
        };
        let payer = budget.payer(session.id(), self.address_guard.address());
        let missing = budget.missing_accounts(Timestamp::now(), payer);
        if missing.is_empty() {
            return self.submit_to_model(request, ctx);
        }
        let budget = Arc::clone(budget);
        let load = LoadBudgetUsage { accounts: missing.clone() };
        let loaded = self.context.actors.load_budget_usage.ask(load, STORE_TIMEOUT);
        self.wait_for_store(loaded, ctx, move |actor, loaded, ctx| match loaded {
            Ok(usage) => {
                usage.into_iter().for_each(|(account, amount)| budget.insert_loaded(account, amount));
                actor.submit_to_model(request, ctx);
            }
            // The chat continues while the database is unavailable.
            Err(error) if error.is_outage() => {
                budget.insert_unknown(&missing);
                actor.submit_to_model(request, ctx);
            }
            Err(error) => actor.refuse_store_error(&error, request.client_id, ctx),
        });
    }

    fn submit_to_model(&mut self, request: QuestionRequest, ctx: &mut SocketContext) {
        let Some(session) = &mut self.session else { return };
        let now = Timestamp::now();
        let (client_id, regenerates) = (request.client_id.clone(), request.regenerates);
        let question_tokens = request.question.tokens;
        let system_prompt = &self.context.system_prompt.text;
        session.conversation.set_token_limits(self.context.router.token_limits(self.context.limits.tokens));
        let turn = match session.conversation.prepare_turn(now, request, system_prompt) {
            Ok(turn) => turn,
            Err(refusal) => return self.refuse(&refusal, client_id, ctx),
        };
        let (session_id, epoch) = (session.id(), session.epoch());
        // Checked last, because it cannot be given back.
        if let Err(exceeded) = self.address_guard.take_question(now) {
            let refusal = Refusal::new(ErrorCode::RateLimitExceeded)
                .with_retry_after(exceeded.retry_after)
                .with_message("Too many questions come from your address. Please wait a moment.");
            self.withdraw(&refusal, ctx);
            return;
        }
        let PreparedTurn { turn_id, prompt, context_pruned } = turn;
        let log = self.log.for_turn(turn_id);
        self.log.enter_turn(&log);
        let ask = GenerateAnswer {
            turn_id,
            address: self.address_guard.address(),
            session_id,
            epoch,
            client_id,
            question_tokens,
            prompt,
            asked_at: now,
            regenerates,
            log,
        };
        let reply = self.context.actors.generate_answer.ask(ask, STORE_TIMEOUT);
        self.wait_for(reply, ctx, move |actor, reply, ctx| {
            let refusal = match reply {
                Ok(Ok(generation)) => {
                    socket::add_stream(ctx, Subscription::new(&generation, 0));
                    if let Some(session) = &mut actor.session {
                        session.set_answer(ActiveAnswer::new(generation).with_context_pruned(context_pruned));
                    }
                    return;
                }
                Ok(Err(failure)) => Refusal::from(failure),
                Err(error) => actor.llm_refusal(error),
            };
            actor.withdraw(&refusal, ctx);
        });
    }
}
