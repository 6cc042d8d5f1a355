//! The token budget of one session: how much history a prompt can contain.

use crate::domain::turn::Usage;
use crate::llm::upstream::server::window::TokenLimits;
use crate::tokens::{MESSAGE_OVERHEAD, PROMPT_OVERHEAD};

/// Divides the context window of the model between system prompt, history, question and answer.
/// All numbers are tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenBudget {
    limits: TokenLimits,
    system: u32,
    used: u64,
}

/// The question does not fit even without any history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionTooLarge {
    /// The maximum tokens of a question.
    pub limit: u32,
}

impl TokenBudget {
    /// Returns a budget for these limits; `system` tokens are reserved for the system prompt.
    #[must_use]
    pub fn new(limits: TokenLimits, system: u32) -> Self {
        Self { limits, system, used: 0 }
    }

    /// Replaces the limits, because the context window of the model has become known.
    pub fn set_limits(&mut self, limits: TokenLimits) {
        self.limits = limits;
    }

    /// Returns the tokens that history and question can have together.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.limits
            .context
            .saturating_sub(self.limits.response)
            .saturating_sub(self.system)
            .saturating_sub(MESSAGE_OVERHEAD)
            .saturating_sub(PROMPT_OVERHEAD)
    }

    /// Returns the tokens that the history can have in a prompt with this question.
    ///
    /// # Errors
    /// [`QuestionTooLarge`] if the question alone does not fit.
    pub fn history_room(&self, question_tokens: u32) -> Result<u32, QuestionTooLarge> {
        self.window()
            .checked_sub(question_tokens.saturating_add(MESSAGE_OVERHEAD))
            .ok_or(QuestionTooLarge { limit: self.window().saturating_sub(MESSAGE_OVERHEAD) })
    }

    /// Returns the tokens of a whole prompt.
    #[must_use]
    pub fn prompt_tokens(&self, question_tokens: u32, history_tokens: u32) -> u32 {
        self.system
            .saturating_add(question_tokens)
            .saturating_add(history_tokens)
            .saturating_add(2 * MESSAGE_OVERHEAD)
            .saturating_add(PROMPT_OVERHEAD)
    }

    /// Returns the maximum tokens of an answer.
    #[must_use]
    pub fn response(&self) -> u32 {
        self.limits.response
    }

    /// Adds the usage of an answer to the total of this connection.
    pub fn record_usage(&mut self, usage: Usage) {
        self.used += u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
    }

    /// Returns the tokens that the answers of this connection have used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prompt_and_answer_never_exceed_the_window(
            context in 512_u32..200_000,
            response in 16_u32..4_000,
            system in 0_u32..6_000,
            question in 0_u32..4_000,
        ) {
            let budget = TokenBudget::new(TokenLimits { context, response }, system);
            if let Ok(room) = budget.history_room(question) {
                prop_assert!(budget.prompt_tokens(question, room) + response <= context);
            }
        }

        #[test]
        fn reported_limit_is_the_largest_question_that_fits(
            context in 512_u32..20_000,
            response in 16_u32..400,
            system in 0_u32..30_000,
        ) {
            let budget = TokenBudget::new(TokenLimits { context, response }, system);
            if let Err(too_large) = budget.history_room(u32::MAX) {
                prop_assert!(too_large.limit == 0 || budget.history_room(too_large.limit).is_ok());
                prop_assert!(budget.history_room(too_large.limit + 1).is_err());
            }
        }
    }
}
