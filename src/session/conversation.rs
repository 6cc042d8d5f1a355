//! What a session decides: who may ask what, when, and what the model is shown of it. A plain value.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::history::{Exchange, History, MAX_EXCHANGES};
use super::question::{Intake, Question};
use super::rate_window::{RateExceeded, RateWindow};
use super::token_budget::{QuestionTooLarge, TokenBudget};
use super::{SessionLimits, SessionSurroundings};
use crate::clock::Timestamp;
use crate::ids::TurnId;
use crate::llm::generation::Failure;
use crate::llm::prompt::{Prompt, PromptMessage, Speaker};
use crate::persistence::messages::StoredTurn;
use crate::protocol::codes::ErrorCode;
use crate::protocol::server::{TurnStatus, Usage};

/// A refusal of a request, with what the visitor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// After how long it may succeed.
    pub retry_after: Option<Duration>,
    /// Whether it may succeed later.
    pub retryable: bool,
    detail: Option<Cow<'static, str>>,
}

impl Refusal {
    /// A refusal with the code's own sentence.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self { code, retry_after: None, retryable: code.entry().retryable, detail: None }
    }

    /// The same with another sentence.
    #[must_use]
    pub fn saying(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same with the time after which it may succeed.
    #[must_use]
    pub fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// What the visitor is told.
    #[must_use]
    pub fn message(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.code.entry().message)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let Failure { code, retry_after, retryable } = failure;
        Self { code, retry_after, retryable, detail: None }
    }
}

/// The part of a session that decides.
#[derive(Debug)]
pub struct Conversation {
    /// This connection's place in the succession of the session's connections.
    epoch: i64,
    history: History,
    budget: TokenBudget,
    window: RateWindow,
    turn: Option<OpenTurn>,
    /// The clients' own ids of the newest questions.
    asked: VecDeque<(String, TurnId)>,
    /// The visitor was told that the oldest messages are out of the prompt.
    pruned: bool,
}

/// The question that is being answered.
#[derive(Clone, Debug)]
pub struct OpenTurn {
    /// Its turn.
    pub turn_id: TurnId,
    /// The client's own id.
    pub client_id: Option<String>,
    /// The question.
    pub question: Arc<str>,
    /// What the model is shown of it.
    shown: Arc<str>,
    /// The length of that in tokens.
    shown_tokens: u32,
    /// It is in the history already: only its end is told again.
    told_again: bool,
}

/// What is to be done about a question.
#[derive(Debug)]
pub enum Asked {
    /// Put this to the model.
    New {
        /// The new turn.
        turn_id: TurnId,
        /// The whole prompt.
        prompt: Prompt,
        /// Older messages left the prompt for the first time.
        newly_pruned: bool,
    },
    /// It is the question being answered, sent again.
    Current(TurnId),
    /// Its id was used before: look whether it is the same question.
    Earlier(TurnId),
}

impl Conversation {
    /// A session that begins.
    #[must_use]
    pub fn begin(limits: SessionLimits, system_tokens: u32, intake: &Intake) -> Self {
        Self::restored(limits, system_tokens, 0, &[], intake, Vec::new())
    }

    /// A session that comes back with its newest turns; `intake` shows the model what it was shown.
    #[must_use]
    pub fn restored(
        limits: SessionLimits,
        system_tokens: u32,
        epoch: i64,
        turns: &[StoredTurn],
        intake: &Intake,
        asked_at: Vec<Timestamp>,
    ) -> Self {
        let budget = TokenBudget::new(limits.max_context_tokens, limits.max_response_tokens, system_tokens);
        let mut history = History::new(budget.window());
        for turn in turns.iter().filter(|turn| turn.status != TurnStatus::Answering) {
            let Some(answer) = &turn.answer else { continue };
            let (question, question_tokens) = intake.again(&turn.question);
            history.push(Exchange {
                turn_id: turn.turn_id,
                question,
                question_tokens,
                answer: Arc::clone(&answer.content),
                answer_tokens: answer.tokens,
            });
        }
        let asked = turns.iter().filter_map(|turn| Some((turn.client_id.clone()?, turn.turn_id)));
        Self {
            epoch,
            window: RateWindow::restored(limits.requests_per_minute, asked_at),
            asked: asked.collect(),
            history,
            budget,
            turn: None,
            pruned: false,
        }
    }

    /// Decides about a question. When it is new, its turn is open from now on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn ask(
        &mut self,
        now: Timestamp,
        question: Question,
        client_id: Option<String>,
        surroundings: &SessionSurroundings,
    ) -> Result<Asked, Refusal> {
        if let Some(turn) = &self.turn {
            if client_id.is_some() && turn.client_id == client_id {
                let same = turn.question == question.text;
                return if same { Ok(Asked::Current(turn.turn_id)) } else { Err(duplicate()) };
            }
            return Err(Refusal::new(ErrorCode::TurnInProgress));
        }
        if let Some(turn_id) = client_id.as_ref().and_then(|id| self.turn_of(id)) {
            return Ok(Asked::Earlier(turn_id));
        }
        let room = self.budget.room_beside(question.shown_tokens).map_err(|QuestionTooLarge { limit }| {
            Refusal::new(ErrorCode::MessageTooLong).saying(format!(
                "The question has {} tokens; at most {limit} fit beside the resume.",
                question.shown_tokens,
            ))
        })?;
        self.window.take(now).map_err(|RateExceeded { retry_after }| {
            Refusal::new(ErrorCode::RateLimitExceeded).after(retry_after)
        })?;
        let fitting = self.history.fitting(room);
        let said = fitting.exchanges().flat_map(|exchange| {
            [message(Speaker::User, &exchange.question), message(Speaker::Assistant, &exchange.answer)]
        });
        let prompt = Prompt {
            messages: std::iter::once(message(Speaker::System, &surroundings.instructions.text))
                .chain(said)
                .chain([message(Speaker::User, &question.shown)])
                .collect(),
            question: Arc::clone(&question.text),
            tokens: self.budget.prompt_tokens(question.shown_tokens, fitting.tokens),
            max_response_tokens: self.budget.response(),
        };
        let newly_pruned = fitting.pruned && !std::mem::replace(&mut self.pruned, fitting.pruned);
        let turn_id = TurnId::generate();
        if let Some(id) = &client_id {
            self.asked.push_back((id.clone(), turn_id));
            let excess = self.asked.len().saturating_sub(MAX_EXCHANGES);
            self.asked.drain(..excess);
        }
        let Question { text, shown, shown_tokens, .. } = question;
        self.turn =
            Some(OpenTurn { turn_id, client_id, question: text, shown, shown_tokens, told_again: false });
        Ok(Asked::New { turn_id, prompt, newly_pruned })
    }

    /// The open turn was not taken, for a reason that is not the visitor's: it never was.
    pub fn withdraw(&mut self) -> Option<OpenTurn> {
        let turn = self.turn.take()?;
        self.window.give_back();
        self.asked.retain(|(_, turn_id)| *turn_id != turn.turn_id);
        Some(turn)
    }

    /// A turn that was open when the session was last seen goes on here.
    pub fn reopen(&mut self, turn: &StoredTurn, intake: &Intake) {
        let (shown, shown_tokens) = intake.again(&turn.question);
        self.turn = Some(OpenTurn {
            turn_id: turn.turn_id,
            client_id: turn.client_id.clone(),
            question: Arc::clone(&turn.question.content),
            shown,
            shown_tokens,
            told_again: turn.status != TurnStatus::Answering,
        });
    }

    /// The open turn has ended.
    pub fn end(&mut self, answer: Arc<str>, answer_tokens: u32, usage: Usage) -> Option<OpenTurn> {
        let turn = self.turn.take()?;
        if !turn.told_again {
            self.budget.spend(usage);
            self.history.push(Exchange {
                turn_id: turn.turn_id,
                question: Arc::clone(&turn.shown),
                question_tokens: turn.shown_tokens,
                answer,
                answer_tokens,
            });
        }
        Some(turn)
    }

    /// The open turn.
    #[must_use]
    pub fn turn(&self) -> Option<&OpenTurn> {
        self.turn.as_ref()
    }

    /// This connection's place in the succession of the session's connections.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Questions left at `now`.
    pub fn remaining(&mut self, now: Timestamp) -> u32 {
        self.window.remaining(now)
    }

    /// Tokens this connection's answers took.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.budget.spent()
    }

    fn turn_of(&self, client_id: &str) -> Option<TurnId> {
        self.asked.iter().find(|(id, _)| id == client_id).map(|(_, turn_id)| *turn_id)
    }
}

/// The same id with another text.
#[must_use]
pub fn duplicate() -> Refusal {
    Refusal::new(ErrorCode::DuplicateId)
}

fn message(role: Speaker, content: &Arc<str>) -> PromptMessage {
    PromptMessage { role, content: Arc::clone(content) }
}
