//! The kinds of model servers.

use strum::IntoStaticStr;

/// A product or service with an OpenAI-compatible API. It decides which documents are requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr)]
#[strum(const_into_str)]
pub enum ServerKind {
    /// Any other server.
    #[default]
    #[strum(serialize = "OpenAI-compatible")]
    Other,
    OpenRouter,
    OpenAI,
    Azure,
    Anthropic,
    Cohere,
    DeepInfra,
    DeepSeek,
    Fireworks,
    Gemini,
    Groq,
    Mistral,
    Perplexity,
    Together,
    #[strum(serialize = "xAI")]
    Xai,
    #[strum(serialize = "LiteLLM")]
    LiteLlm,
    #[strum(serialize = "llama.cpp")]
    LlamaCpp,
    #[strum(serialize = "LM Studio")]
    LmStudio,
    Ollama,
    #[strum(serialize = "SGLang")]
    SgLang,
    #[strum(serialize = "TGI")]
    Tgi,
    #[strum(serialize = "vLLM")]
    Vllm,
}

/// The domains of services. A host belongs to a service if it is the domain or below it.
const DOMAINS: [(&str, ServerKind); 18] = [
    ("openrouter.ai", ServerKind::OpenRouter),
    ("api.openai.com", ServerKind::OpenAI),
    ("openai.azure.com", ServerKind::Azure),
    ("cognitiveservices.azure.com", ServerKind::Azure),
    ("services.ai.azure.com", ServerKind::Azure),
    ("anthropic.com", ServerKind::Anthropic),
    ("cohere.com", ServerKind::Cohere),
    ("cohere.ai", ServerKind::Cohere),
    ("deepinfra.com", ServerKind::DeepInfra),
    ("deepseek.com", ServerKind::DeepSeek),
    ("fireworks.ai", ServerKind::Fireworks),
    ("generativelanguage.googleapis.com", ServerKind::Gemini),
    ("groq.com", ServerKind::Groq),
    ("mistral.ai", ServerKind::Mistral),
    ("perplexity.ai", ServerKind::Perplexity),
    ("together.xyz", ServerKind::Together),
    ("together.ai", ServerKind::Together),
    ("x.ai", ServerKind::Xai),
];

impl ServerKind {
    /// Returns the name for the operator.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Returns the service that a host belongs to.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let belongs = |domain: &str| {
            host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        };
        DOMAINS.iter().find(|(domain, _)| belongs(domain)).map(|(_, kind)| *kind)
    }

    /// Returns the server whose model lists have this `owned_by`.
    #[must_use]
    pub fn from_owner(owner: &str) -> Option<Self> {
        match owner {
            "vllm" => Some(Self::Vllm),
            "sglang" => Some(Self::SgLang),
            "llamacpp" => Some(Self::LlamaCpp),
            "library" => Some(Self::Ollama),
            "organization_owner" => Some(Self::LmStudio),
            _ => None,
        }
    }

    /// Returns whether the server answers with its only model, whatever name the request contains.
    #[must_use]
    pub const fn ignores_model_name(self) -> bool {
        matches!(self, Self::LlamaCpp | Self::Tgi)
    }

    /// Returns whether the list of models contains every name that the server accepts. The list of
    /// Azure contains models, but requests name deployments.
    #[must_use]
    pub const fn lists_all_names(self) -> bool {
        !matches!(self, Self::Azure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_recognized_by_their_domain() {
        for (host, kind) in [
            ("openrouter.ai", Some(ServerKind::OpenRouter)),
            ("eu.openrouter.ai", Some(ServerKind::OpenRouter)),
            ("API.Groq.com.", Some(ServerKind::Groq)),
            ("my-resource.openai.azure.com", Some(ServerKind::Azure)),
            ("api.x.ai", Some(ServerKind::Xai)),
            ("max.ai", None),
            ("notopenrouter.ai", None),
            ("localhost", None),
        ] {
            assert_eq!(ServerKind::from_host(host), kind, "{host}");
        }
        assert_eq!((ServerKind::Vllm.as_str(), ServerKind::Groq.as_str()), ("vLLM", "Groq"));
    }
}
