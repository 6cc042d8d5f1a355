//! The body of a request, in the shape that OpenAI-compatible servers take.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::budget::Prices;
use crate::budget::amount::dollars;
use crate::domain::ids::SessionId;
use crate::llm::prompt::Prompt;

/// A request for a streamed answer.
#[derive(Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    /// What OpenRouter falls back to by itself.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) models: &'a [String],
    /// The instructions first and always the same, so that a provider's cache holds them.
    pub(crate) messages: &'a Prompt,
    pub(crate) stream: bool,
    /// Always sent: OpenRouter holds the balance against it.
    pub(crate) max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    only_openrouter: Option<OnlyOpenRouter>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What other servers may refuse to know.
#[derive(Serialize)]
struct OnlyOpenRouter {
    /// Keeps a conversation with one provider, and so with its prompt cache.
    session_id: String,
    plugins: [Plugin; 1],
    /// No provider is asked that charges more than the owner pays: what is set aside for an answer must be enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
}

#[derive(Serialize)]
struct Provider {
    max_price: MaxPrice,
}

/// US dollars for a million tokens.
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

impl<'a> Request<'a> {
    /// For any server.
    pub(crate) fn plain(model: &'a str, prompt: &'a Prompt) -> Self {
        Self {
            model,
            models: &[],
            messages: prompt,
            stream: true,
            max_tokens: prompt.max_response_tokens,
            stream_options: Some(StreamOptions { include_usage: true }),
            only_openrouter: None,
        }
    }

    /// For OpenRouter, which sends usage unasked.
    pub(crate) fn openrouter(
        model: &'a str,
        models: &'a [String],
        prompt: &'a Prompt,
        session: SessionId,
        most_paid: Option<Prices>,
    ) -> Self {
        // A visitor's session has the same name there all the time, but not the one it has here.
        let digest = Sha256::digest(session.0.as_bytes());
        let session_id = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // We prune ourselves; OpenRouter would otherwise squeeze the prompts of models with small windows.
        let plugins = [Plugin { id: "context-compression", enabled: false }];
        let provider = most_paid.map(|it| Provider {
            max_price: MaxPrice { prompt: dollars(it.prompt), completion: dollars(it.completion) },
        });
        Self {
            models,
            stream_options: None,
            only_openrouter: Some(OnlyOpenRouter { session_id, plugins, provider }),
            ..Self::plain(model, prompt)
        }
    }
}
