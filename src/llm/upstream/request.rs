//! The body of a request, in the format of OpenAI-compatible servers.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::budget::Prices;
use crate::budget::amount::dollars;
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;

/// The body of a request for a streamed answer.
#[derive(Serialize)]
pub(crate) struct RequestBody<'a> {
    model: &'a str,
    /// The models that OpenRouter falls back to itself.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    models: &'a [String],
    /// The system prompt comes first and is always the same, so that a provider's cache holds it.
    messages: &'a Prompt,
    stream: bool,
    /// Always sent: OpenRouter compares it with the remaining credit.
    max_tokens: u32,
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

impl<'a> RequestBody<'a> {
    /// Returns the body for any OpenAI-compatible server.
    pub(crate) fn plain(model: &'a str, prompt: &'a Prompt) -> Self {
        Self {
            model,
            models: &[],
            messages: prompt,
            stream: true,
            max_tokens: prompt.max_response_tokens,
            stream_options: Some(StreamOptions { include_usage: true }),
            openrouter: None,
        }
    }

    /// Returns the body for OpenRouter, which sends usage without `stream_options`.
    pub(crate) fn openrouter(
        model: &'a str,
        models: &'a [String],
        prompt: &'a Prompt,
        session: SessionId,
        max_price: Option<Prices>,
    ) -> Self {
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
        Self {
            models,
            stream_options: None,
            openrouter: Some(OpenRouterOptions { session_id, plugins, provider }),
            ..Self::plain(model, prompt)
        }
    }
}
