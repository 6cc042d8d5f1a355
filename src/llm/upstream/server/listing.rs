//! The list of models, in the formats of all servers.
//!
//! The list may have megabytes. It is read entry by entry, and only the names and the entries of
//! the configured models are kept.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::budget::Prices;
use crate::budget::amount::nanodollars;
use crate::llm::upstream::server::field::{at, clean_name, number, tokens_at};
use crate::llm::upstream::server::kind::ServerKind;
use crate::llm::upstream::server::names::{self, Match};

/// The maximum number of names that are kept. OpenRouter has several hundred models.
const MAX_NAMES: usize = 5_000;

/// The highest plausible price of a million tokens in US dollars.
const MAX_DOLLARS_PER_MILLION: f64 = 100_000.0;

/// The fields in which servers name the context window:
/// OpenRouter `context_length` and `top_provider` (<https://openrouter.ai/docs/api-reference/list-available-models>),
/// vLLM and SGLang `max_model_len` (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>),
/// llama.cpp `meta.n_ctx` (<https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md>),
/// Groq `context_window` (<https://console.groq.com/docs/api-reference#models>),
/// Mistral and LM Studio `max_context_length` (<https://docs.mistral.ai/api/#tag/models>,
/// <https://lmstudio.ai/docs/developer/rest/endpoints>),
/// Together, Fireworks and Cohere `context_length` (<https://docs.together.ai/reference/models-1>),
/// DeepInfra `metadata.context_length` (<https://docs.deepinfra.com/chat/overview>),
/// LiteLLM `model_info.max_input_tokens` (<https://docs.litellm.ai/docs/proxy/model_management>),
/// Anthropic `max_input_tokens`, Gemini `inputTokenLimit` (<https://ai.google.dev/api/models>).
const CONTEXT_FIELDS: [&[&str]; 14] = [
    &["context_length"],
    &["top_provider", "context_length"],
    &["max_model_len"],
    &["meta", "n_ctx"],
    &["context_window"],
    &["max_context_length"],
    &["metadata", "context_length"],
    &["model_info", "max_input_tokens"],
    &["max_input_tokens"],
    &["inputTokenLimit"],
    &["context_size"],
    &["max_context_tokens"],
    &["max_total_tokens"],
    &["n_ctx"],
];

/// What a list says about one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ModelFacts {
    /// The context window in tokens.
    pub(crate) context: Option<u32>,
    pub(crate) prices: Option<Prices>,
}

/// The list of models of a server, reduced to what concerns the configured ones.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The server, if the entries reveal it.
    pub(crate) kind: Option<ServerKind>,
    /// The names of the models.
    pub(crate) names: BTreeSet<String>,
    /// What the list says about each configured model; `None` if it does not contain the model.
    pub(crate) found: Vec<Option<(Match, ModelFacts)>>,
    /// What the list says about its first model.
    pub(crate) first: Option<ModelFacts>,
    /// Whether the list has further pages.
    pub(crate) has_more: bool,
}

impl ModelFacts {
    /// Reads the facts from an entry.
    pub(crate) fn from_entry(entry: &Value) -> Self {
        Self { context: context(entry), prices: prices(entry) }
    }

    /// Adds what another entry about the same model says.
    fn or(self, other: Self) -> Self {
        Self { context: self.context.or(other.context), prices: self.prices.or(other.prices) }
    }
}

impl Listing {
    /// Parses a list. `host_kind` is the server, if its host name reveals it.
    pub(crate) fn parse(
        body: &[u8],
        asked: &[&str],
        host_kind: Option<ServerKind>,
    ) -> serde_json::Result<Self> {
        let listing = Self { found: vec![None; asked.len()], ..Self::default() };
        let mut collector = Collector { listing, asked, host_kind };
        let mut json = serde_json::Deserializer::from_slice(body);
        DocumentSeed(&mut collector).deserialize(&mut json)?;
        Ok(collector.listing)
    }
}

/// Returns the context window of an entry. A model that is loaded with a smaller window than it was
/// trained for has the smaller one.
fn context(entry: &Value) -> Option<u32> {
    if let Some(loaded) = tokens_at(entry, &["loaded_context_length"]) {
        return Some(loaded);
    }
    let told = CONTEXT_FIELDS.iter().filter_map(|path| tokens_at(entry, path)).min();
    // What llama.cpp's model was trained for says nothing about the server's own setting.
    told.or_else(|| tokens_at(entry, &["meta", "n_ctx_train"]))
}

/// Returns the prices of an entry: per token (OpenRouter, SambaNova, LiteLLM) or per million tokens
/// (Together, DeepInfra).
fn prices(entry: &Value) -> Option<Prices> {
    let pair = |group: &[&str], prompt: &str, completion: &str, tokens: f64| {
        let group = at(entry, group)?;
        let price = |key: &str| {
            let dollars = number(group.get(key)?)? * 1e6 / tokens;
            (0.0..=MAX_DOLLARS_PER_MILLION).contains(&dollars).then(|| nanodollars(dollars))
        };
        Some(Prices { prompt: price(prompt)?, completion: price(completion)? })
    };
    // OpenRouter has free models. Elsewhere, zero means that the price is not maintained.
    let is_stated = |prices: &Prices| *prices != Prices::default();
    pair(&["pricing"], "prompt", "completion", 1.0)
        .or_else(|| pair(&["pricing"], "input", "output", 1e6).filter(is_stated))
        .or_else(|| pair(&["metadata", "pricing"], "input_tokens", "output_tokens", 1e6).filter(is_stated))
        .or_else(|| {
            let names = ("input_cost_per_token", "output_cost_per_token");
            pair(&["model_info"], names.0, names.1, 1.0).filter(is_stated)
        })
}

/// Collects entries.
struct Collector<'a> {
    listing: Listing,
    asked: &'a [&'a str],
    host_kind: Option<ServerKind>,
}

impl Collector<'_> {
    fn add(&mut self, entry: &Value) {
        let names = names_of(entry);
        let Some(first) = names.first() else { return };
        let owner = entry.get("owned_by").and_then(Value::as_str).unwrap_or_default();
        let is_lm_studio =
            ["compatibility_type", "loaded_context_length"].iter().any(|key| entry.get(key).is_some());
        let lm_studio = || is_lm_studio.then_some(ServerKind::LmStudio);
        let litellm = || entry.get("litellm_params").map(|_| ServerKind::LiteLlm);
        let listing = &mut self.listing;
        listing.kind =
            listing.kind.or_else(|| ServerKind::from_owner(owner)).or_else(litellm).or_else(lm_studio);
        let kind = self.host_kind.or(listing.kind).unwrap_or_default();
        let facts = ModelFacts::from_entry(entry);
        listing.first.get_or_insert(facts);
        if listing.names.len() < MAX_NAMES {
            listing.names.insert(first.clone());
        }
        for (asked, found) in self.asked.iter().zip(&mut listing.found) {
            let best = names.iter().filter_map(|name| names::compare(asked, name, kind)).max();
            let Some(new) = best else { continue };
            *found = Some(match *found {
                Some((old, known)) if old == new => (old, known.or(facts)),
                Some((old, known)) if old > new => (old, known),
                _ => (new, facts),
            });
        }
    }
}

/// Returns the names of an entry, the one for requests first.
fn names_of(entry: &Value) -> Vec<String> {
    if let Value::String(name) = entry {
        return clean_name(name).into_iter().collect();
    }
    let fields = ["id", "model_name", "name", "model", "key", "canonical_slug"];
    let single = fields.iter().filter_map(|field| entry.get(field)?.as_str());
    let aliases = entry.get("aliases").and_then(Value::as_array).into_iter().flatten();
    single.chain(aliases.filter_map(Value::as_str)).filter_map(clean_name).collect()
}

/// The whole document: a list, or an object with a list in it.
struct DocumentSeed<'a, 'b>(&'a mut Collector<'b>);

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of models")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        EntriesSeed(self.0).visit_seq(entries)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut has_list = false;
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "data" | "models" => {
                    has_list = true;
                    fields.next_value_seed(EntriesSeed(self.0))?;
                }
                "has_more" => self.0.listing.has_more = fields.next_value::<Value>()? == Value::Bool(true),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        if has_list { Ok(()) } else { Err(A::Error::custom("it contains no list of models")) }
    }
}

/// The entries. Anything but a list counts as an empty one.
struct EntriesSeed<'a, 'b>(&'a mut Collector<'b>);

impl<'de> DeserializeSeed<'de> for EntriesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntriesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of models")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element::<Value>()? {
            self.0.add(&entry);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
