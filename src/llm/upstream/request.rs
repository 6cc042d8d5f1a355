//! The body of a request, in the format of OpenAI-compatible servers.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::budget::Prices;
use crate::budget::amount::dollars;
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;
use crate::llm::upstream::dialect::{Dialect, WireMessage};
use crate::settings::MaxTokensField;

/// The body of a request for a streamed answer.
#[derive(Serialize)]
pub(crate) struct RequestBody<'a> {
    model: &'a str,
    /// The models that OpenRouter falls back to itself.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    models: &'a [String],
    /// The system prompt comes first and is always the same, so that a provider's cache holds it.
    messages: Vec<WireMessage<'a>>,
    /// Left out where the server refuses it; the answer then comes as one document.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    /// One of the two is always sent: OpenRouter compares it with the remaining credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    openrouter: Option<OpenRouterOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Fields that other servers may reject as unknown.
#[derive(Serialize)]
struct OpenRouterOptions {
    /// Keeps a conversation at one provider and so in its prompt cache.
    session_id: String,
    plugins: [Plugin; 1],
    /// Excludes providers that charge more than the configured prices, which the budget reservation
    /// of an answer is computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
}

#[derive(Serialize)]
struct Provider {
    max_price: MaxPrice,
}

/// US dollars per million tokens.
#[derive(Serialize)]
struct MaxPrice {
    prompt: f64,
    completion: f64,
}

#[derive(Serialize)]
struct Plugin {
    id: &'static str,
    enabled: bool,
}

/// What a request says, apart from its form.
#[derive(Clone, Copy)]
pub(crate) struct RequestContent<'a> {
    pub(crate) model: &'a str,
    pub(crate) fallback_models: &'a [String],
    pub(crate) prompt: &'a Prompt,
    pub(crate) session: SessionId,
    pub(crate) max_price: Option<Prices>,
}

impl<'a> RequestBody<'a> {
    /// Returns the body in the form that the server accepts.
    pub(crate) fn new(content: RequestContent<'a>, dialect: Dialect) -> Self {
        let RequestContent { model, fallback_models, prompt, .. } = content;
        let limit = Some(prompt.max_response_tokens);
        let (max_tokens, max_completion_tokens) = match dialect.max_tokens {
            MaxTokensField::MaxCompletionTokens => (None, limit),
            MaxTokensField::MaxTokens | MaxTokensField::Auto => (limit, None),
        };
        Self {
            model,
            models: if dialect.has_extras { fallback_models } else { &[] },
            messages: dialect.messages(prompt),
            stream: dialect.has_stream,
            max_tokens,
            max_completion_tokens,
            stream_options: dialect.has_stream_options.then_some(StreamOptions { include_usage: true }),
            openrouter: dialect
                .has_extras
                .then(|| OpenRouterOptions::new(content.session, content.max_price)),
        }
    }
}

impl OpenRouterOptions {
    fn new(session: SessionId, max_price: Option<Prices>) -> Self {
        // A hash, so that OpenRouter receives a stable id of the conversation, but not the
        // session's own id.
        let digest = Sha256::digest(session.0.as_bytes());
        let session_id = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // This server prunes prompts itself. OpenRouter would compress prompts for models with
        // small context windows.
        let plugins = [Plugin { id: "context-compression", enabled: false }];
        let provider = max_price.map(|price| Provider {
            max_price: MaxPrice { prompt: dollars(price.prompt), completion: dollars(price.completion) },
        });
        Self { session_id, plugins, provider }
    }
}
