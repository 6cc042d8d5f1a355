//! What the model server said about itself and the configured models.

use crate::budget::Prices;
use crate::budget::amount::dollars;
use crate::llm::upstream::server::kind::ServerKind;

/// The report about the model server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerReport {
    pub kind: ServerKind,
    /// The configured models: `LLM_MODEL`, then `LLM_FALLBACK_MODELS`.
    pub models: Vec<ModelReport>,
    /// Whether Ollama did not say with which context window it runs the model. Unless its
    /// `OLLAMA_CONTEXT_LENGTH` is set, the window is small and longer prompts are cut silently.
    pub is_window_assumed: bool,
    /// Why the list of models could not be read.
    pub failure: Option<String>,
}

/// What the server said about one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelReport {
    /// The configured name.
    pub name: String,
    pub presence: Presence,
    /// The context window in tokens.
    pub context: Option<u32>,
    pub prices: Option<Prices>,
}

/// Whether the server has a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// The server did not say.
    #[default]
    Unknown,
    Listed,
    Missing {
        /// The most similar names that the server has, the best first.
        nearest: Vec<String>,
    },
}

/// A configured model that the server does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingModel<'a> {
    /// The setting that names the model.
    pub setting: &'static str,
    pub name: &'a str,
    /// The most similar names that the server has.
    pub nearest: &'a [String],
}

impl ServerReport {
    /// Returns the smallest context window of the configured models, because any of them may
    /// answer.
    #[must_use]
    pub fn context(&self) -> Option<u32> {
        self.models.iter().filter_map(|model| model.context).min()
    }

    /// Returns the highest prices of the configured models; `None` unless those of the first model
    /// are known.
    #[must_use]
    pub fn prices(&self) -> Option<Prices> {
        let first = self.models.first()?.prices?;
        let known = self.models.iter().filter_map(|model| model.prices);
        Some(known.fold(first, |highest, prices| Prices {
            prompt: highest.prompt.max(prices.prompt),
            completion: highest.completion.max(prices.completion),
        }))
    }

    /// Returns the configured models that the server does not have.
    pub fn missing(&self) -> impl Iterator<Item = MissingModel<'_>> {
        self.models.iter().enumerate().filter_map(|(index, model)| match &model.presence {
            Presence::Missing { nearest } => Some(MissingModel {
                setting: if index == 0 { "LLM_MODEL" } else { "LLM_FALLBACK_MODELS" },
                name: &model.name,
                nearest,
            }),
            Presence::Unknown | Presence::Listed => None,
        })
    }

    /// Returns whether the same requests may find out more later: the server may have been
    /// starting, or Ollama had not loaded the model.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        self.failure.is_some() || self.is_window_assumed
    }

    /// Describes the report for the operator. The text names no models, because a health report may
    /// be public.
    #[must_use]
    pub fn describe(&self) -> String {
        let model = match self.models.first().map(|model| &model.presence) {
            Some(Presence::Listed) if self.missing().next().is_some() => "a fallback model is missing",
            Some(Presence::Listed) => "model found",
            Some(Presence::Missing { .. }) => "model not found",
            Some(Presence::Unknown) | None => "model not confirmed",
        };
        let context = match self.context() {
            Some(tokens) if self.is_window_assumed => format!("context window of at most {tokens} tokens"),
            Some(tokens) => format!("context window of {tokens} tokens"),
            None => "context window unknown".to_owned(),
        };
        let prices = self.prices().map_or_else(|| "prices unknown".to_owned(), describe_prices);
        format!("{}, {model}, {context}, {prices}", self.kind.as_str())
    }
}

impl MissingModel<'_> {
    /// Describes the problem in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let similar = match self.nearest {
            [] => "no similar name either".to_owned(),
            nearest => format!("similar names: {}", nearest.join(", ")),
        };
        format!("{}: the model server has no model {} ({similar})", self.setting, self.name)
    }
}

/// Describes prices in US dollars.
fn describe_prices(prices: Prices) -> String {
    let [prompt, completion] = [prices.prompt, prices.completion].map(dollars);
    format!("${prompt} per million prompt tokens and ${completion} per million answer tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(context: Option<u32>, prices: Option<(u64, u64)>) -> ModelReport {
        let prices = prices.map(|(prompt, completion)| Prices { prompt, completion });
        ModelReport { name: "m".to_owned(), presence: Presence::Listed, context, prices }
    }

    #[test]
    fn window_is_the_smallest_and_prices_are_the_highest() {
        let models = vec![
            model(Some(8000), Some((150_000_000, 600_000_000))),
            model(Some(4096), Some((1, 900_000_000))),
            model(None, None),
        ];
        let report = ServerReport { kind: ServerKind::Vllm, models, ..ServerReport::default() };
        assert_eq!(report.context(), Some(4096));
        assert_eq!(report.prices(), Some(Prices { prompt: 150_000_000, completion: 900_000_000 }));
        assert_eq!(
            report.describe(),
            "vLLM, model found, context window of 4096 tokens, $0.15 per million prompt tokens and $0.9 per million \
             answer tokens"
        );
        let unpriced = ServerReport { models: vec![model(None, None), model(None, Some((1, 1)))], ..report };
        assert_eq!((unpriced.context(), unpriced.prices()), (None, None));
    }

    #[test]
    fn missing_models_name_their_setting_and_similar_names() {
        let missing = |nearest: &[&str]| ModelReport {
            name: "m".to_owned(),
            presence: Presence::Missing { nearest: nearest.iter().map(ToString::to_string).collect() },
            ..ModelReport::default()
        };
        let report =
            ServerReport { models: vec![missing(&[]), missing(&["n", "o"])], ..ServerReport::default() };
        let sentences: Vec<String> = report.missing().map(|missing| missing.describe()).collect();
        assert_eq!(
            sentences,
            [
                "LLM_MODEL: the model server has no model m (no similar name either)",
                "LLM_FALLBACK_MODELS: the model server has no model m (similar names: n, o)",
            ]
        );
        assert_eq!(
            report.describe(),
            "OpenAI-compatible, model not found, context window unknown, prices unknown"
        );
    }
}
