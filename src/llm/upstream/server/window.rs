//! The token limits that follow from the context window of a model.

use crate::llm::prompt::system_prompt::MIN_CONVERSATION_TOKENS;

/// The shortest answer that is worth asking for. If the resume leaves less room, the context window
/// counts as too small.
const MIN_RESPONSE_TOKENS: u32 = 256;

/// The limits on the tokens of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Tokens of a prompt and its answer together.
    pub context: u32,
    /// Tokens of an answer.
    pub response: u32,
}

/// Whether the configured limits fit into the context window of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFit {
    /// They do.
    Fits,
    /// Smaller limits do.
    Reduced(TokenLimits),
    /// The resume does not fit, however short the conversation and the answers are.
    TooSmall,
}

/// Fits the configured limits into a context window of `told` tokens. The system prompt has
/// `system` tokens.
#[must_use]
pub fn fit(configured: TokenLimits, told: u32, system: u32) -> WindowFit {
    if told >= configured.context {
        return WindowFit::Fits;
    }
    let needed = system.saturating_add(MIN_CONVERSATION_TOKENS);
    let response = configured.response.min(told.saturating_sub(needed));
    if response < configured.response.min(MIN_RESPONSE_TOKENS) {
        return WindowFit::TooSmall;
    }
    WindowFit::Reduced(TokenLimits { context: told, response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_shrink_to_the_window_and_answers_only_if_they_must() {
        let configured = TokenLimits { context: 8000, response: 2000 };
        let reduced = |context, response| WindowFit::Reduced(TokenLimits { context, response });
        for (told, system, expected) in [
            (8000, 1000, WindowFit::Fits),
            (128_000, 1000, WindowFit::Fits),
            (4096, 1000, reduced(4096, 2000)),
            (4096, 3000, reduced(4096, 4096 - 3000 - MIN_CONVERSATION_TOKENS)),
            (4096, 3584, reduced(4096, 256)),
            (4096, 3585, WindowFit::TooSmall),
            (100, 1000, WindowFit::TooSmall),
        ] {
            assert_eq!(fit(configured, told, system), expected, "{told}, {system}");
        }
        let short = TokenLimits { context: 8000, response: 16 };
        assert_eq!(fit(short, 4096, 3800), WindowFit::Reduced(TokenLimits { context: 4096, response: 16 }));
    }
}
