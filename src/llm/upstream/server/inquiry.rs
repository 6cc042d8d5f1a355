//! The requests that find out what the model server is.
//!
//! The list of models comes first. Documents that only one kind of server has are requested if the
//! list points to that kind, or if neither the host name nor the list reveals the server.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::llm::upstream::endpoint::{Endpoint, JsonGetError};
use crate::llm::upstream::server::kind::ServerKind;
use crate::llm::upstream::server::listing::{Listing, ModelFacts};
use crate::llm::upstream::server::names::{self, Match};
use crate::llm::upstream::server::native;
use crate::llm::upstream::server::report::{ModelReport, Presence, ServerReport};

/// The maximum time of all requests together.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum time of one request for a document that the server may not have.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum size of a list of models. That of OpenRouter has several hundred kilobytes.
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// The maximum size of any other document. Ollama describes every tensor of a model.
const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

/// The maximum number of models that are looked up one by one.
const MAX_LOOKUPS: usize = 4;

/// Asks the server what it is and what it knows of these models. Never fails: whatever the server
/// did not say in time is unknown.
pub(crate) async fn inquire(endpoint: &Endpoint, models: &[&str]) -> ServerReport {
    let mut inquiry = Inquiry::new(endpoint, models);
    if timeout(TOTAL_TIMEOUT, inquiry.run()).await.is_err() && inquiry.listing.is_none() {
        inquiry.failure.get_or_insert_with(|| "no answer in time".to_owned());
    }
    inquiry.into_report()
}

/// The requests and what they have found out so far.
struct Inquiry<'a> {
    endpoint: &'a Endpoint,
    models: &'a [&'a str],
    host_kind: Option<ServerKind>,
    kind: Option<ServerKind>,
    listing: Option<Listing>,
    facts: Vec<ModelFacts>,
    /// For each model, whether a document about it alone exists.
    has_document: Vec<Option<bool>>,
    is_window_assumed: bool,
    failure: Option<String>,
}

impl<'a> Inquiry<'a> {
    fn new(endpoint: &'a Endpoint, models: &'a [&'a str]) -> Self {
        let base = Url::parse(endpoint.base_url()).ok();
        let host_kind = base.as_ref().and_then(Url::host_str).and_then(ServerKind::from_host);
        Self {
            endpoint,
            models,
            host_kind,
            kind: host_kind,
            listing: None,
            facts: vec![ModelFacts::default(); models.len()],
            has_document: vec![None; models.len()],
            is_window_assumed: false,
            failure: None,
        }
    }

    async fn run(&mut self) {
        match self.read_list().await {
            Ok(listing) => self.add_list(listing),
            Err(error) => {
                self.failure = Some(error.to_string());
                // A server without this document may have others.
                if !matches!(error, JsonGetError::Status { status: 400 | 404 | 405 | 501, .. }) {
                    return;
                }
            }
        }
        match self.kind {
            Some(ServerKind::LlamaCpp) => drop(self.ask_llama_cpp().await),
            Some(ServerKind::LmStudio) => drop(self.ask_lm_studio().await),
            Some(ServerKind::Ollama) => self.ask_ollama().await,
            Some(_) => {}
            None if self.facts.iter().all(|facts| facts.context.is_some()) => {}
            None => self.ask_unknown_server().await,
        }
    }

    /// Requests the documents of all kinds of servers, until one exists.
    async fn ask_unknown_server(&mut self) {
        if self.ask_llama_cpp().await || self.ask_lm_studio().await || self.ask_litellm().await {
            return;
        }
        if self.probe("api/version").await.is_some_and(|document| native::is_ollama_version(&document)) {
            return self.ask_ollama().await;
        }
        if let Some(context) = self.probe("info").await.as_ref().and_then(native::tgi_context) {
            self.kind = Some(ServerKind::Tgi);
            self.set_context_of_all(context);
        }
    }

    async fn read_list(&self) -> Result<Listing, JsonGetError> {
        let url = format!("{}/models", self.endpoint.base_url());
        let request = self.endpoint.get(&url).timeout(TOTAL_TIMEOUT);
        let body = self.endpoint.read(request, MAX_LIST_BYTES).await?;
        Listing::parse(&body, self.models, self.host_kind)
            .map_err(|error| JsonGetError::Failed(format!("the list of models is unreadable: {error}")))
    }

    fn add_list(&mut self, listing: Listing) {
        self.kind = self.kind.or(listing.kind);
        self.add_facts(&listing, false);
        self.listing = Some(listing);
    }

    /// Adds what a list says about the models. `is_newer` facts replace those known so far.
    fn add_facts(&mut self, listing: &Listing, is_newer: bool) {
        for (known, found) in self.facts.iter_mut().zip(&listing.found) {
            let Some((_, new)) = found else { continue };
            let (first, second) = if is_newer { (*new, *known) } else { (*known, *new) };
            known.context = first.context.or(second.context);
            known.prices = first.prices.or(second.prices);
        }
        let is_only = listing.names.len() == 1;
        if let (true, true, Some(only)) = (is_only, self.ignores_model_name(), listing.first) {
            for known in &mut self.facts {
                known.context = known.context.or(only.context);
            }
        }
    }

    fn set_context_of_all(&mut self, context: u32) {
        for facts in &mut self.facts {
            facts.context = Some(context);
        }
    }

    fn ignores_model_name(&self) -> bool {
        self.kind.is_some_and(ServerKind::ignores_model_name)
    }

    /// Returns whether the server is llama.cpp.
    async fn ask_llama_cpp(&mut self) -> bool {
        // Of several models, the document must not load the one it is about.
        let model = self.models.first().copied().unwrap_or_default();
        let query = [("model", model), ("autoload", "false")];
        let Some(path) = Url::parse_with_params("http://h/props", query).ok() else { return false };
        let path = format!("props?{}", path.query().unwrap_or_default());
        let Some(props) = self.probe(&path).await.filter(native::is_llama_cpp) else { return false };
        self.kind = Some(ServerKind::LlamaCpp);
        if let Some(context) = native::llama_cpp_context(&props) {
            self.set_context_of_all(context);
        }
        true
    }

    /// Returns whether the server is LM Studio.
    async fn ask_lm_studio(&mut self) -> bool {
        let listing = self.probe_list("api/v0/models", ServerKind::LmStudio).await;
        let Some(listing) = listing.filter(|listing| listing.kind == Some(ServerKind::LmStudio)) else {
            return false;
        };
        self.kind = Some(ServerKind::LmStudio);
        self.add_facts(&listing, true);
        true
    }

    /// Returns whether the server is LiteLLM.
    async fn ask_litellm(&mut self) -> bool {
        let listing = self.probe_list("model/info", ServerKind::LiteLlm).await;
        let Some(listing) = listing.filter(|listing| listing.kind == Some(ServerKind::LiteLlm)) else {
            return false;
        };
        self.kind = Some(ServerKind::LiteLlm);
        self.add_facts(&listing, true);
        true
    }

    async fn ask_ollama(&mut self) {
        self.kind = Some(ServerKind::Ollama);
        let running = self.probe("api/ps").await.unwrap_or_default();
        for (index, model) in self.models.iter().enumerate().take(MAX_LOOKUPS) {
            let shown = self.show(model).await;
            let has_document = match &shown {
                Ok(_) => Some(true),
                Err(JsonGetError::Status { status: 404, .. }) => Some(false),
                Err(_) => None,
            };
            let told = shown.map(|shown| native::ollama_model(&shown)).unwrap_or_default();
            let runs_with = native::ollama_running_context(&running, model).or(told.configured);
            if let Some(slot) = self.has_document.get_mut(index) {
                *slot = has_document;
            }
            if let Some(facts) = self.facts.get_mut(index) {
                facts.context = runs_with.into_iter().chain(told.trained).min().or(facts.context);
            }
            self.is_window_assumed |= runs_with.is_none() && has_document == Some(true);
        }
    }

    /// Requests the description of a model from Ollama.
    async fn show(&self, model: &str) -> Result<Value, JsonGetError> {
        let mut last = JsonGetError::Failed("the address is invalid".to_owned());
        for root in roots(self.endpoint.base_url()) {
            let request = self.endpoint.post_to(&format!("{root}/api/show")).timeout(PROBE_TIMEOUT);
            // Ollama before 0.1.30 knows only `name`.
            let body = json!({"model": model, "name": model}).to_string();
            let request = request.header(CONTENT_TYPE, "application/json").body(body);
            match self.endpoint.read(request, MAX_DOCUMENT_BYTES).await.and_then(|body| parse(&body)) {
                Ok(shown) => return Ok(shown),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Requests a document at the root of the host or of its path prefix. Returns `None` if it does
    /// not exist or is no JSON.
    async fn probe(&self, path: &str) -> Option<Value> {
        let body = self.probe_bytes(path, MAX_DOCUMENT_BYTES).await?;
        parse(&body).ok()
    }

    async fn probe_list(&self, path: &str, kind: ServerKind) -> Option<Listing> {
        let body = self.probe_bytes(path, MAX_LIST_BYTES).await?;
        Listing::parse(&body, self.models, Some(kind)).ok()
    }

    async fn probe_bytes(&self, path: &str, max_bytes: usize) -> Option<Vec<u8>> {
        for root in roots(self.endpoint.base_url()) {
            let request = self.endpoint.get(&format!("{root}/{path}")).timeout(PROBE_TIMEOUT);
            if let Ok(body) = self.endpoint.read(request, max_bytes).await {
                return Some(body);
            }
        }
        None
    }

    fn presence(&self, index: usize, name: &str) -> Presence {
        match self.has_document.get(index) {
            Some(Some(true)) => return Presence::Listed,
            Some(Some(false)) => return Presence::Missing { nearest: self.nearest(name) },
            _ => {}
        }
        let Some(listing) = &self.listing else { return Presence::Unknown };
        let kind = self.kind.unwrap_or_default();
        let found = listing.found.get(index).copied().flatten().map(|(matched, _)| matched);
        match found {
            Some(Match::Exact | Match::Alias) => Presence::Listed,
            Some(Match::Wildcard) => Presence::Unknown,
            None if kind.ignores_model_name() && listing.names.len() == 1 => Presence::Listed,
            None if listing.names.is_empty() || listing.has_more || !kind.lists_all_names() => {
                Presence::Unknown
            }
            None => Presence::Missing { nearest: self.nearest(name) },
        }
    }

    fn nearest(&self, name: &str) -> Vec<String> {
        let listing = self.listing.as_ref();
        let names: Vec<String> = listing.into_iter().flat_map(|listing| &listing.names).cloned().collect();
        names::nearest(name, &names)
    }

    fn into_report(self) -> ServerReport {
        let models =
            self.models.iter().enumerate().zip(&self.facts).map(|((index, name), facts)| ModelReport {
                name: (*name).to_owned(),
                presence: self.presence(index, name),
                context: facts.context,
                prices: facts.prices,
            });
        ServerReport {
            kind: self.kind.unwrap_or_default(),
            models: models.collect(),
            is_window_assumed: self.is_window_assumed,
            failure: self.failure.clone(),
        }
    }
}

fn parse(body: &[u8]) -> Result<Value, JsonGetError> {
    serde_json::from_slice(body).map_err(|error| JsonGetError::Failed(error.to_string()))
}

/// Returns the URLs below which a server may have its own documents: without the `/v1` at the end
/// of the base URL, and the root of the host.
fn roots(base_url: &str) -> Vec<String> {
    let Ok(mut url) = Url::parse(base_url) else { return Vec::new() };
    let path = url.path().trim_end_matches('/').to_owned();
    let prefix = path.strip_suffix("/v1").unwrap_or(&path);
    let mut roots = Vec::new();
    for path in [prefix, ""] {
        url.set_path(path);
        let root = url.as_str().trim_end_matches('/').to_owned();
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_below_the_prefix_or_the_root_of_the_same_host() {
        for (base, expected) in [
            ("http://localhost:11434/v1", vec!["http://localhost:11434"]),
            ("http://localhost:8080", vec!["http://localhost:8080"]),
            ("https://h/ollama/v1", vec!["https://h/ollama", "https://h"]),
            ("https://h/openai", vec!["https://h/openai", "https://h"]),
        ] {
            assert_eq!(roots(base), expected, "{base}");
        }
    }
}
