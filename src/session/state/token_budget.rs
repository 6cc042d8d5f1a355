//! The token budget of one session: what a prompt may hold, and what was spent.

use crate::domain::turn::Usage;
use crate::tokens::{MESSAGE_OVERHEAD, PROMPT_OVERHEAD};

/// Divides the model's window between the resume, the conversation, the question and the answer.
#[derive(Clone, Copy, Debug)]
pub struct TokenBudget {
    context: u32,
    response: u32,
    system: u32,
    spent: u64,
}

/// The question leaves no room even without any history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionTooLarge {
    /// Tokens a question may have at most.
    pub limit: u32,
}

impl TokenBudget {
    /// A budget of `context` tokens of which `response` are the answer's and `system` the system prompt's.
    #[must_use]
    pub fn new(context: u32, response: u32, system: u32) -> Self {
        Self { context, response, system, spent: 0 }
    }

    /// Tokens left for history and question together.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.context
            .saturating_sub(self.response)
            .saturating_sub(self.system)
            .saturating_sub(MESSAGE_OVERHEAD)
            .saturating_sub(PROMPT_OVERHEAD)
    }

    /// Tokens left for history beside a question of so many tokens.
    ///
    /// # Errors
    /// [`QuestionTooLarge`] when the question alone does not fit.
    pub fn room_beside(&self, question_tokens: u32) -> Result<u32, QuestionTooLarge> {
        self.window()
            .checked_sub(question_tokens.saturating_add(MESSAGE_OVERHEAD))
            .ok_or(QuestionTooLarge { limit: self.window().saturating_sub(MESSAGE_OVERHEAD) })
    }

    /// Tokens of a prompt with this question and this much history.
    #[must_use]
    pub fn prompt_tokens(&self, question_tokens: u32, history_tokens: u32) -> u32 {
        self.system
            .saturating_add(question_tokens)
            .saturating_add(history_tokens)
            .saturating_add(2 * MESSAGE_OVERHEAD)
            .saturating_add(PROMPT_OVERHEAD)
    }

    /// Tokens an answer may have.
    #[must_use]
    pub fn response(&self) -> u32 {
        self.response
    }

    /// Notes what an answer took.
    pub fn spend(&mut self, usage: Usage) {
        self.spent += u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
    }

    /// Tokens this connection's answers took so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prompt_and_its_answer_never_exceed_the_window(
            context in 512_u32..200_000,
            response in 16_u32..4_000,
            system in 0_u32..6_000,
            question in 0_u32..4_000,
        ) {
            let budget = TokenBudget::new(context, response, system);
            if let Ok(room) = budget.room_beside(question) {
                prop_assert!(budget.prompt_tokens(question, room) + response <= context);
            }
        }

        #[test]
        fn the_stated_limit_is_the_largest_question_that_fits(
            context in 512_u32..20_000,
            response in 16_u32..400,
            system in 0_u32..30_000,
        ) {
            let budget = TokenBudget::new(context, response, system);
            if let Err(refused) = budget.room_beside(u32::MAX) {
                prop_assert!(refused.limit == 0 || budget.room_beside(refused.limit).is_ok());
                prop_assert!(budget.room_beside(refused.limit + 1).is_err());
            }
        }
    }
}
