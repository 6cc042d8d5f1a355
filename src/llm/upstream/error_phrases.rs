//! The words by which servers describe errors that have no name or status of their own.
//!
//! The words are lower case. Each comes from the server's documentation, its source or a public
//! report. The files of `tests/fixtures/upstream` and `docs/upstream.md` name the sources.

/// The prompt has more tokens than the model accepts.
pub(crate) const CONTEXT_OVERFLOW: [&str; 38] = [
    // OpenAI, Azure, vLLM, DeepSeek, OpenRouter, Together
    "maximum context length",
    "context_length_exceeded",
    "reduce the length of the messages",
    // vLLM
    "longer than the maximum model length",
    "maximum model length",
    "max_tokens must be at least 1, got -",
    // SGLang
    "longer than the model's context length",
    "exceeds the model's maximum context",
    // llama.cpp, LocalAI
    "exceed_context_size",
    "available context size",
    "context size has been exceeded",
    "exceeds context size",
    // Ollama
    "exceeds the context length",
    "input length exceeds",
    // LM Studio
    "context length of only",
    "context overflow",
    "context the overflows",
    // TGI, Together
    "`inputs` tokens + `max_new_tokens`",
    "`inputs` must have less than",
    // Gemini
    "exceeds the maximum number of tokens",
    // Anthropic
    "prompt is too long",
    "exceed context limit",
    // xAI
    "maximum prompt length",
    // DeepInfra
    "maximum input length",
    // Mistral
    "too large for model with",
    // Cohere
    "too many tokens",
    // Bedrock
    "input is too long",
    // DashScope
    "range of input length",
    // Moonshot
    "max length exceeded",
    "exceeded model token limit",
    // Zhipu
    "prompt exceeds max length",
    // GPT4All
    "context window size",
    // LiteLLM, MiniMax
    "contextwindow",
    "context window",
    // others
    "context length",
    "context size",
    "context limit",
    "input tokens exceed",
];

/// The API key is missing or not valid.
pub(crate) const INVALID_KEY: [&str; 12] = [
    // Gemini
    "api key not valid",
    "api_key_invalid",
    // OpenAI, xAI
    "incorrect api key",
    // vLLM, LiteLLM, others
    "invalid api key",
    "invalid api-key",
    "invalid x-api-key",
    "api key is invalid",
    "api key expired",
    "no api key",
    "missing api key",
    "authentication error",
    "unauthorized",
];

/// The account has no credit.
pub(crate) const OUT_OF_CREDIT: [&str; 8] = [
    // Anthropic
    "credit balance is too low",
    // DeepSeek, SiliconFlow, Moonshot
    "insufficient balance",
    "insufficient account balance",
    // xAI
    "used all available credits",
    // OpenAI
    "exceeded your current quota, please check your plan",
    "insufficient credit",
    "insufficient_quota",
    // LiteLLM
    "budget has been exceeded",
];

/// The quota of the day is used up.
pub(crate) const DAILY_QUOTA: [&str; 4] =
    ["free-models-per-day", "perday", "requests per day (rpd)", "tokens per day (tpd)"];

/// The model does not exist.
pub(crate) const UNKNOWN_MODEL: [&str; 10] = [
    // LiteLLM
    "invalid model name",
    // OpenRouter
    "not a valid model",
    "model not found",
    // Mistral
    "invalid model:",
    // Perplexity
    "invalid model '",
    // DeepSeek
    "model not exist",
    // OpenAI, vLLM
    "does not exist",
    // LM Studio, SGLang
    "no models loaded",
    "model is not loaded",
    "unknown model",
];

/// The content is refused.
pub(crate) const REFUSED_CONTENT: [&str; 10] = [
    // Azure
    "content management policy",
    "content filter",
    "content_filter",
    // LiteLLM
    "contentpolicyviolation",
    // DeepSeek
    "content exists risk",
    // DashScope
    "inappropriate content",
    // OpenAI
    "safety system",
    "usage policies",
    "content policy",
    // OpenRouter
    "flagged for",
];

/// The server is loading its model or has no capacity.
pub(crate) const OVERLOADED: [&str; 5] =
    ["overloaded", "loading model", "model is loading", "currently loading", "no capacity"];

/// Returns whether the start of the message contains one of the phrases. Its rest may quote a
/// visitor, whose words must decide nothing.
pub(crate) fn starts_with_any(message: &str, phrases: &[&str]) -> bool {
    let start: String = message.to_lowercase().chars().take(MAX_START_CHARS).collect();
    phrases.iter().any(|phrase| start.contains(phrase))
}

/// How much of a message is the server's own in all known forms.
const MAX_START_CHARS: usize = 120;
