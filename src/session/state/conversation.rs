//! The conversation of a session: decides whether a question is allowed, and builds its prompt.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::TurnId;
use crate::domain::limits::{MAX_EXCHANGES, RATE_WINDOW};
use crate::domain::turn::{TurnStatus, Usage};
use crate::limits::{SlidingWindow, WindowLimit};
use crate::llm::prompt::{Prompt, PromptMessage, Speaker};
use crate::llm::upstream::server::window::TokenLimits;
use crate::persistence::records::{StoredSession, StoredTurn};
use crate::session::limits::SessionLimits;
use crate::session::state::history::{Exchange, History, HistorySelection};
use crate::session::state::question_validator::{Question, QuestionValidator};
use crate::session::state::refusal::Refusal;
use crate::session::state::token_budget::{QuestionTooLarge, TokenBudget};

/// The history, the limits and the open turn of a session.
#[derive(Debug)]
pub struct Conversation {
    epoch: i64,
    history: History,
    budget: TokenBudget,
    rate_limit: WindowLimit,
    questions: SlidingWindow,
    open_turn: Option<OpenTurn>,
    /// The ids that the client gave to the newest questions, oldest first.
    client_ids: VecDeque<(String, TurnId)>,
    /// Whether there are older questions, whose ids are only in the store.
    has_older_ids: bool,
    /// The newest question that was answered, with its turn.
    last_question: Option<(TurnId, Arc<str>)>,
    /// Whether a prompt has lacked the oldest messages.
    context_pruned: bool,
}

/// The question that is being answered.
#[derive(Clone, Debug)]
pub struct OpenTurn {
    pub turn_id: TurnId,
    /// The id that the client gave to the question.
    pub client_id: Option<String>,
    pub question: Arc<str>,
    /// The question as the prompt contains it.
    prompt_text: Arc<str>,
    /// Tokens of `prompt_text`.
    prompt_tokens: u32,
    /// The turn whose answer this one replaces.
    regenerates: Option<TurnId>,
    /// Whether the turn ended earlier, so that the history contains it already.
    is_replay: bool,
}

/// A question that a client wants to be answered.
#[derive(Clone, Debug)]
pub struct QuestionRequest {
    pub question: Question,
    /// The id that the client gave to the question.
    pub client_id: Option<String>,
    /// The turn whose answer is to be replaced; the question is the same.
    pub regenerates: Option<TurnId>,
}

impl QuestionRequest {
    /// Returns whether a turn results from the same request. `question` is its question;
    /// `regenerates` is the turn that it regenerates.
    #[must_use]
    pub fn matches(&self, question: &str, regenerates: Option<TurnId>) -> bool {
        match self.regenerates {
            // The request does not contain the question, so any regeneration matches.
            Some(_) => regenerates.is_some(),
            None => regenerates.is_none() && *self.question.text == *question,
        }
    }
}

/// Whether a question was asked before under the same client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// The question is new.
    New,
    /// It is the question that is being answered.
    InProgress(TurnId),
    /// The id was used before. Whether for the same question must be looked up in the store.
    UsedBefore,
    /// The id is not among those in memory. Whether it was used before must be looked up in the
    /// store.
    Unknown,
}

/// A new turn with its prompt.
#[derive(Debug)]
pub struct PreparedTurn {
    pub turn_id: TurnId,
    pub prompt: Prompt,
    /// Whether this is the first prompt that lacks the oldest messages.
    pub context_pruned: bool,
}

impl Conversation {
    /// Returns the conversation of a new session.
    #[must_use]
    pub fn new(limits: SessionLimits, system_tokens: u32, validator: &QuestionValidator) -> Self {
        let empty =
            StoredSession { epoch: 0, turns: Vec::new(), has_more: false, recent_questions: Vec::new() };
        Self::from_stored(limits, system_tokens, &empty, validator)
    }

    /// Returns the conversation of a stored session with its newest turns.
    #[must_use]
    pub fn from_stored(
        limits: SessionLimits,
        system_tokens: u32,
        stored: &StoredSession,
        validator: &QuestionValidator,
    ) -> Self {
        let turns = &stored.turns;
        let budget = TokenBudget::new(limits.tokens, system_tokens);
        let rate_limit = WindowLimit::exact(limits.requests_per_minute, RATE_WINDOW);
        let client_ids = turns.iter().filter_map(|turn| Some((turn.client_id.clone()?, turn.turn_id)));
        Self {
            epoch: stored.epoch,
            history: stored_history(turns, budget.window(), validator),
            budget,
            questions: SlidingWindow::from_events(&rate_limit, stored.recent_questions.iter().copied()),
            rate_limit,
            open_turn: None,
            client_ids: client_ids.collect(),
            has_older_ids: stored.has_more,
            last_question: turns.last().map(|turn| (turn.turn_id, Arc::clone(&turn.question.content))),
            context_pruned: false,
        }
    }

    /// Checks whether a question was asked before.
    ///
    /// # Errors
    /// [`Refusal`] if another question is being answered.
    pub fn check_duplicate(&self, request: &QuestionRequest) -> Result<Dedup, Refusal> {
        if let Some(turn) = &self.open_turn {
            if request.client_id.is_some() && turn.client_id == request.client_id {
                let is_same = request.matches(&turn.question, turn.regenerates);
                return if is_same {
                    Ok(Dedup::InProgress(turn.turn_id))
                } else {
                    Err(ErrorCode::DuplicateId.into())
                };
            }
            return Err(ErrorCode::TurnInProgress.into());
        }
        Ok(match &request.client_id {
            Some(id) if self.client_ids.iter().any(|(used, _)| used == id) => Dedup::UsedBefore,
            Some(_) if self.has_older_ids => Dedup::Unknown,
            Some(_) | None => Dedup::New,
        })
    }

    /// Replaces the limits on tokens from the next prompt on.
    pub fn set_token_limits(&mut self, limits: TokenLimits) {
        self.budget.set_limits(limits);
    }

    /// Opens a turn for a new question and builds its prompt.
    ///
    /// # Errors
    /// [`Refusal`] if the question does not fit or a limit is reached. No turn is open then.
    pub fn prepare_turn(
        &mut self,
        now: Timestamp,
        request: QuestionRequest,
        system_prompt: &Arc<str>,
    ) -> Result<PreparedTurn, Refusal> {
        if self.open_turn.is_some() {
            return Err(ErrorCode::TurnInProgress.into());
        }
        let QuestionRequest { question, client_id, regenerates } = request;
        let room =
            self.budget.history_room(question.prompt_tokens).map_err(|QuestionTooLarge { limit }| {
                Refusal::new(ErrorCode::MessageTooLong).with_message(format!(
                    "The question has {} tokens; at most {limit} fit beside the resume.",
                    question.prompt_tokens,
                ))
            })?;
        self.questions.take(&self.rate_limit, now).map_err(|retry_after| {
            Refusal::new(ErrorCode::RateLimitExceeded).with_retry_after(retry_after)
        })?;
        let selection = self.history.select(room, regenerates);
        let prompt = self.build_prompt(system_prompt, &selection, &question);
        let context_pruned =
            selection.is_pruned && !std::mem::replace(&mut self.context_pruned, selection.is_pruned);
        let turn_id = self.last_question.as_ref().map_or_else(TurnId::generate, |(last, _)| last.next());
        if let Some(id) = &client_id {
            self.remember_client_id(id.clone(), turn_id);
        }
        let Question { text, prompt_text, prompt_tokens, .. } = question;
        self.open_turn = Some(OpenTurn {
            turn_id,
            client_id,
            question: text,
            prompt_text,
            prompt_tokens,
            regenerates,
            is_replay: false,
        });
        Ok(PreparedTurn { turn_id, prompt, context_pruned })
    }

    fn build_prompt(
        &self,
        system_prompt: &Arc<str>,
        selection: &HistorySelection<'_>,
        question: &Question,
    ) -> Prompt {
        let history = selection.exchanges().flat_map(|exchange| {
            [message(Speaker::User, &exchange.question), message(Speaker::Assistant, &exchange.answer)]
        });
        Prompt {
            messages: std::iter::once(message(Speaker::System, system_prompt))
                .chain(history)
                .chain([message(Speaker::User, &question.prompt_text)])
                .collect(),
            question: Arc::clone(&question.text),
            tokens: self.budget.prompt_tokens(question.prompt_tokens, selection.tokens),
            max_response_tokens: self.budget.response(),
        }
    }

    fn remember_client_id(&mut self, id: String, turn_id: TurnId) {
        self.client_ids.push_back((id, turn_id));
        let excess = self.client_ids.len().saturating_sub(MAX_EXCHANGES);
        self.client_ids.drain(..excess);
        self.has_older_ids |= excess > 0;
    }

    /// Removes the open turn, which was not accepted. Its question no longer counts for the rate
    /// limit, because the visitor did not cause the refusal.
    pub fn withdraw_turn(&mut self) -> Option<OpenTurn> {
        let turn = self.open_turn.take()?;
        self.questions.give_back(&self.rate_limit);
        self.client_ids.retain(|(_, turn_id)| *turn_id != turn.turn_id);
        Some(turn)
    }

    /// Opens a stored turn, whose answer is being generated or is replayed.
    pub fn reopen_turn(&mut self, turn: &StoredTurn, validator: &QuestionValidator) {
        let (prompt_text, prompt_tokens) = validator.prompt_text(&turn.question);
        self.open_turn = Some(OpenTurn {
            turn_id: turn.turn_id,
            client_id: turn.client_id.clone(),
            question: Arc::clone(&turn.question.content),
            prompt_text,
            prompt_tokens,
            regenerates: turn.regenerates,
            is_replay: turn.status != TurnStatus::Answering,
        });
    }

    /// Closes the open turn and adds it to the history, unless its answer was replayed.
    pub fn finish_turn(&mut self, answer: Arc<str>, answer_tokens: u32, usage: Usage) {
        let Some(turn) = self.open_turn.take().filter(|turn| !turn.is_replay) else { return };
        self.budget.record_usage(usage);
        if let Some(replaced) = turn.regenerates {
            self.history.remove_newest(replaced);
        }
        self.last_question = Some((turn.turn_id, turn.question));
        self.history.push(Exchange {
            turn_id: turn.turn_id,
            question: turn.prompt_text,
            question_tokens: turn.prompt_tokens,
            answer,
            answer_tokens,
        });
    }

    /// Returns the question that is being answered.
    #[must_use]
    pub fn open_turn(&self) -> Option<&OpenTurn> {
        self.open_turn.as_ref()
    }

    /// Returns the newest question with its turn, whether it is answered or not.
    #[must_use]
    pub fn last_question(&self) -> Option<(TurnId, Arc<str>)> {
        let open = self.open_turn.as_ref().map(|turn| (turn.turn_id, Arc::clone(&turn.question)));
        open.or_else(|| self.last_question.clone())
    }

    /// Returns the epoch of this connection. Each connection that resumes the session receives a
    /// higher epoch, and the store accepts writes only from the connection with the highest epoch.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Returns how many more questions are allowed at `now`.
    pub fn remaining(&mut self, now: Timestamp) -> u32 {
        self.questions.remaining(&self.rate_limit, now)
    }

    /// Returns the tokens that the answers of this connection have used.
    #[must_use]
    pub fn used_tokens(&self) -> u64 {
        self.budget.used()
    }
}

/// Returns the history of the turns that have ended and were not replaced.
fn stored_history(turns: &[StoredTurn], window: u32, validator: &QuestionValidator) -> History {
    let mut history = History::new(window);
    let is_part = |turn: &&StoredTurn| turn.status != TurnStatus::Answering && turn.superseded_by.is_none();
    for turn in turns.iter().filter(is_part) {
        let Some(answer) = &turn.answer else { continue };
        let (question, question_tokens) = validator.prompt_text(&turn.question);
        history.push(Exchange {
            turn_id: turn.turn_id,
            question,
            question_tokens,
            answer: Arc::clone(&answer.content),
            answer_tokens: answer.tokens,
        });
    }
    history
}

fn message(role: Speaker, content: &Arc<str>) -> PromptMessage {
    PromptMessage { role, content: Arc::clone(content) }
}
