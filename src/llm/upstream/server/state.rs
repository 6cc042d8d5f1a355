//! What is known of the model server, shared between the sessions of a process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::llm::prompt::Prompt;
use crate::llm::upstream::server::report::ServerReport;
use crate::llm::upstream::server::window::{TokenLimits, WindowFit};

/// The shortest prompt for which the server's count is compared with ours, in tokens.
const MIN_COMPARED_TOKENS: u32 = 2_000;

/// The share of our count, in percent, below which the count of the server is too low.
const MIN_COUNTED_PERCENT: u64 = 60;

/// The report about the server, and what follows from it and from the answers.
#[derive(Debug, Default)]
pub struct ServerState {
    report: Mutex<Option<Arc<ServerReport>>>,
    /// The reduced limits: `context` in the upper half, `response` in the lower. 0 if there are
    /// none.
    reduced: AtomicU64,
    is_window_too_small: AtomicBool,
    are_prompts_cut: AtomicBool,
    was_cut_reported: AtomicBool,
}

/// The state for a health report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// What the server said, in words; `None` if it was not asked yet.
    pub description: Option<String>,
    /// What was learned about the form of requests; `None` if nothing was.
    pub dialect: Option<String>,
    /// Whether the resume does not fit into the context window of the model.
    pub is_window_too_small: bool,
    /// Whether the server counted far fewer tokens in the newest long prompt than it was sent.
    pub are_prompts_cut: bool,
}

impl ServerState {
    /// Records a report and whether the configured limits fit.
    pub fn set_report(&self, report: ServerReport, fit: WindowFit) {
        let packed = match fit {
            WindowFit::Reduced(limits) => (u64::from(limits.context) << 32) | u64::from(limits.response),
            WindowFit::Fits | WindowFit::TooSmall => 0,
        };
        self.reduced.store(packed, Ordering::Relaxed);
        self.is_window_too_small.store(fit == WindowFit::TooSmall, Ordering::Relaxed);
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(report));
    }

    /// Returns the newest report.
    #[must_use]
    pub fn report(&self) -> Option<Arc<ServerReport>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the configured limits, reduced to the context window of the model.
    #[must_use]
    pub fn limits(&self, configured: TokenLimits) -> TokenLimits {
        let packed = self.reduced.load(Ordering::Relaxed);
        if packed == 0 {
            return configured;
        }
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        TokenLimits {
            context: half(packed >> 32).min(configured.context),
            response: half(packed).min(configured.response),
        }
    }

    /// Compares the server's count of a prompt with ours. Returns whether to report, for the first
    /// time, that the server reads only a part of the prompts.
    pub fn observe_prompt(&self, prompt: &Prompt, counted: u32) -> bool {
        if prompt.tokens < MIN_COMPARED_TOKENS {
            return false;
        }
        let is_cut = is_too_low(prompt, counted);
        self.are_prompts_cut.store(is_cut, Ordering::Relaxed);
        is_cut && !self.was_cut_reported.swap(true, Ordering::Relaxed)
    }

    /// Returns the state for a health report.
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        ServerStatus {
            description: self.report().map(|report| report.describe()),
            dialect: None,
            is_window_too_small: self.is_window_too_small.load(Ordering::Relaxed),
            are_prompts_cut: self.are_prompts_cut.load(Ordering::Relaxed),
        }
    }
}

/// Returns whether the server's count can only be explained by a prompt that was cut: it is far
/// below our count, and below what any vocabulary needs for the text. Our own count may be twice
/// that of the model for languages that its vocabulary covers better.
fn is_too_low(prompt: &Prompt, counted: u32) -> bool {
    u64::from(counted) * 100 < u64::from(prompt.tokens) * MIN_COUNTED_PERCENT
        && u64::from(counted) < fewest_tokens(prompt)
}

/// Returns a lower limit of the tokens that any vocabulary needs for a prompt.
fn fewest_tokens(prompt: &Prompt) -> u64 {
    // Tokens per 60 characters: at most 6 characters of Latin text are one token on average, 2.5 of
    // Chinese, Japanese and Korean, 5 of other scripts.
    let weight = |character: char| match character {
        '\0'..='\u{7f}' => 10,
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{20000}'..='\u{3ffff}' => 24,
        _ => 12,
    };
    let characters = prompt.messages.iter().flat_map(|message| message.content.chars());
    characters.map(weight).sum::<u64>() / 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::prompt::{PromptMessage, Speaker};

    fn prompt(text: &str, tokens: u32) -> Prompt {
        let message = PromptMessage { role: Speaker::System, content: text.into() };
        Prompt { messages: vec![message], question: "?".into(), tokens, max_response_tokens: 16 }
    }

    #[test]
    fn limits_are_reduced_until_a_report_says_otherwise() {
        let state = ServerState::default();
        let configured = TokenLimits { context: 8000, response: 2000 };
        assert_eq!(state.limits(configured), configured);
        let reduced = TokenLimits { context: 4096, response: 1000 };
        state.set_report(ServerReport::default(), WindowFit::Reduced(reduced));
        assert_eq!(state.limits(configured), reduced);
        state.set_report(ServerReport::default(), WindowFit::TooSmall);
        assert_eq!(state.limits(configured), configured);
        assert!(state.status().is_window_too_small);
        state.set_report(ServerReport::default(), WindowFit::Fits);
        assert!(!state.status().is_window_too_small && state.status().description.is_some());
    }

    #[test]
    fn cut_prompts_are_reported_once_and_the_state_follows_the_answers() {
        let state = ServerState::default();
        let english = "She led the timetable service. ".repeat(600);
        let long = prompt(&english, 3_900);
        assert!(!state.observe_prompt(&prompt(&english, 1_999), 42), "short prompts are not compared");
        assert!(!state.observe_prompt(&long, 3_000) && !state.status().are_prompts_cut);
        assert!(state.observe_prompt(&long, 2_048) && state.status().are_prompts_cut);
        assert!(!state.observe_prompt(&long, 2_048) && state.status().are_prompts_cut);
        assert!(!state.observe_prompt(&long, 3_900) && !state.status().are_prompts_cut);
        assert!(!state.observe_prompt(&long, 2_048) && state.status().are_prompts_cut, "said once");
    }

    #[test]
    fn better_vocabulary_is_no_cut_prompt() {
        // 12,000 characters of Hindi: about one token each by our count, one in four by others.
        let hindi = "समय सारणी ".repeat(1_200);
        assert!(!ServerState::default().observe_prompt(&prompt(&hindi, 11_000), 3_000));
        let chinese = "时刻表服务".repeat(2_400);
        assert!(!ServerState::default().observe_prompt(&prompt(&chinese, 12_000), 7_000));
        assert!(ServerState::default().observe_prompt(&prompt(&chinese, 12_000), 4_096));
    }
}
