//! What a session decides: who may ask what, when, and what the model is shown of it. A plain value.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::failure::Failure;
use crate::domain::ids::TurnId;
use crate::domain::limits::MAX_EXCHANGES;
use crate::domain::turn::{TurnStatus, Usage};
use crate::llm::prompt::{Prompt, PromptMessage, Speaker};
use crate::persistence::records::{StoredSession, StoredTurn};
use crate::session::state::history::{Exchange, History};
use crate::session::state::question_validator::{Intake, Question};
use crate::session::state::rate_window::{RateExceeded, RateWindow};
use crate::session::state::token_budget::{QuestionTooLarge, TokenBudget};
use crate::session::{SessionLimits, SessionSurroundings};

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
        Self { code, retry_after: None, retryable: code.is_retryable(), detail: None }
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
        let Failure { code, retry_after, retryable, message } = failure;
        Self { code, retry_after, retryable, detail: message.map(Cow::Borrowed) }
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
    /// There are older questions, whose ids only the store knows.
    asked_before: bool,
    /// The newest question that was accepted, with its turn.
    last: Option<(TurnId, Arc<str>)>,
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
    /// The turn whose answer this one takes the place of.
    regenerates: Option<TurnId>,
    /// It is in the history already: only its end is told again.
    told_again: bool,
}

/// What a client wants answered, under an id of its own or none.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The question.
    pub question: Question,
    /// The client's own id.
    pub client_id: Option<String>,
    /// The turn whose answer the new one is to take the place of: the question is that one's.
    pub regenerates: Option<TurnId>,
}

impl Wanted {
    /// Whether the same was wanted of a turn with this question, which may be answered anew itself.
    #[must_use]
    pub fn is_of(&self, question: &str, regenerates: Option<TurnId>) -> bool {
        match self.regenerates {
            // Which question was the last one then, only the turn knows.
            Some(_) => regenerates.is_some(),
            None => regenerates.is_none() && *self.question.text == *question,
        }
    }
}

/// Whether a question is known by the client's own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is new.
    No,
    /// It is the one being answered, sent again.
    Current(TurnId),
    /// Its id was used before: look in the store whether it is the same question.
    Earlier,
    /// Only the store knows whether its id was used before.
    Perhaps,
}

/// What is to be put to the model.
#[derive(Debug)]
pub struct Asked {
    /// The new turn.
    pub turn_id: TurnId,
    /// The whole prompt.
    pub prompt: Prompt,
    /// Older messages left the prompt for the first time.
    pub newly_pruned: bool,
}

impl Conversation {
    /// A session that begins.
    #[must_use]
    pub fn begin(limits: SessionLimits, system_tokens: u32, intake: &Intake) -> Self {
        let nothing = StoredSession { epoch: 0, turns: Vec::new(), more: false, asked: Vec::new() };
        Self::restored(limits, system_tokens, &nothing, intake)
    }

    /// A session that comes back with its newest turns; `intake` shows the model what it was shown.
    #[must_use]
    pub fn restored(
        limits: SessionLimits,
        system_tokens: u32,
        stored: &StoredSession,
        intake: &Intake,
    ) -> Self {
        let turns = &stored.turns;
        let budget = TokenBudget::new(limits.max_context_tokens, limits.max_response_tokens, system_tokens);
        let mut history = History::new(budget.window());
        let over = |turn: &&StoredTurn| turn.status != TurnStatus::Answering && turn.superseded_by.is_none();
        for turn in turns.iter().filter(over) {
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
            epoch: stored.epoch,
            window: RateWindow::restored(limits.requests_per_minute, stored.asked.iter().copied()),
            asked: asked.collect(),
            asked_before: stored.more,
            last: turns.last().map(|turn| (turn.turn_id, Arc::clone(&turn.question.content))),
            history,
            budget,
            turn: None,
            pruned: false,
        }
    }

    /// Whether a question is new.
    ///
    /// # Errors
    /// [`Refusal`] when another one is being answered.
    pub fn recognise(&self, wanted: &Wanted) -> Result<Known, Refusal> {
        if let Some(turn) = &self.turn {
            if wanted.client_id.is_some() && turn.client_id == wanted.client_id {
                let same = wanted.is_of(&turn.question, turn.regenerates);
                return if same { Ok(Known::Current(turn.turn_id)) } else { Err(duplicate()) };
            }
            return Err(Refusal::new(ErrorCode::TurnInProgress));
        }
        Ok(match &wanted.client_id {
            Some(id) if self.asked.iter().any(|(used, _)| used == id) => Known::Earlier,
            Some(_) if self.asked_before => Known::Perhaps,
            Some(_) | None => Known::No,
        })
    }

    /// Takes a question that is new; its turn is open from now on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn ask(
        &mut self,
        now: Timestamp,
        wanted: Wanted,
        surroundings: &SessionSurroundings,
    ) -> Result<Asked, Refusal> {
        if self.turn.is_some() {
            return Err(Refusal::new(ErrorCode::TurnInProgress));
        }
        let Wanted { question, client_id, regenerates } = wanted;
        let room = self.budget.room_beside(question.shown_tokens).map_err(|QuestionTooLarge { limit }| {
            Refusal::new(ErrorCode::MessageTooLong).saying(format!(
                "The question has {} tokens; at most {limit} fit beside the resume.",
                question.shown_tokens,
            ))
        })?;
        self.window.take(now).map_err(|RateExceeded { retry_after }| {
            Refusal::new(ErrorCode::RateLimitExceeded).after(retry_after)
        })?;
        let fitting = self.history.fitting(room, regenerates);
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
        let turn_id = self.last.as_ref().map_or_else(TurnId::generate, |(last, _)| last.next());
        if let Some(id) = &client_id {
            self.asked.push_back((id.clone(), turn_id));
            let excess = self.asked.len().saturating_sub(MAX_EXCHANGES);
            self.asked.drain(..excess);
            self.asked_before |= excess > 0;
        }
        let Question { text, shown, shown_tokens, .. } = question;
        self.turn = Some(OpenTurn {
            turn_id,
            client_id,
            question: text,
            shown,
            shown_tokens,
            regenerates,
            told_again: false,
        });
        Ok(Asked { turn_id, prompt, newly_pruned })
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
            regenerates: turn.regenerates,
            told_again: turn.status != TurnStatus::Answering,
        });
    }

    /// The open turn has ended.
    pub fn end(&mut self, answer: Arc<str>, answer_tokens: u32, usage: Usage) -> Option<OpenTurn> {
        let turn = self.turn.take()?;
        if !turn.told_again {
            self.budget.spend(usage);
            if let Some(earlier) = turn.regenerates {
                self.history.take_back(earlier);
            }
            self.last = Some((turn.turn_id, Arc::clone(&turn.question)));
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

    /// The newest question, being answered or answered, with its turn.
    #[must_use]
    pub fn last(&self) -> Option<(TurnId, Arc<str>)> {
        let open = self.turn.as_ref().map(|turn| (turn.turn_id, Arc::clone(&turn.question)));
        open.or_else(|| self.last.clone())
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
}

/// The same id with another text.
#[must_use]
pub fn duplicate() -> Refusal {
    Refusal::new(ErrorCode::DuplicateId)
}

fn message(role: Speaker, content: &Arc<str>) -> PromptMessage {
    PromptMessage { role, content: Arc::clone(content) }
}
