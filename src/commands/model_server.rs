//! Describes for the operator what the model server said about itself.

use resume_chatbot::llm::upstream::server::report::ServerReport;
use resume_chatbot::llm::upstream::server::window::{TokenLimits, WindowFit, fit};
use resume_chatbot::settings::TokenSettings;

/// Returns sentences about what the owner should change.
pub(super) fn warnings(
    report: &ServerReport,
    tokens: &TokenSettings,
    system_tokens: Option<u32>,
) -> Vec<String> {
    let mut warnings: Vec<String> = report.missing().map(|missing| missing.describe()).collect();
    let configured = TokenLimits { context: tokens.max_context, response: tokens.max_response };
    if let Some(told) = report.context() {
        let name = format!("the context window of the model has {told} tokens");
        match fit(configured, told, system_tokens.unwrap_or_default()) {
            WindowFit::Fits => {}
            WindowFit::Reduced(_) => {
                warnings.push(format!(
                    "MAX_CONTEXT_TOKENS is {}, but {name}: prompts are limited to it",
                    configured.context
                ));
            }
            WindowFit::TooSmall => {
                warnings.push(format!("the resume does not fit: {name}. Enlarge it, or use another model"));
            }
        }
    }
    if report.is_window_assumed {
        warnings.push(format!(
            "Ollama says its context window only after it has loaded the model. Unless Ollama runs with \
             OLLAMA_CONTEXT_LENGTH={} or more, it may cut prompts silently",
            configured.context
        ));
    }
    warnings
}
