//! The configuration of a server under test: its command, settings and resume.

use std::collections::BTreeMap;

use crate::support::stores::fresh_store::FreshStore;
use crate::support::upstream::fake_openrouter::FakeOpenRouter;

/// The default resume.
pub(crate) const RESUME: &str = "# Ada Example\n\nBackend engineer in Lisbon.\n\n## Experience\n\n\
    - Northwind Rail, 2019 to 2024: led the timetable service, written in Rust.\n\
    - Harbour Labs, 2015 to 2019: PostgreSQL and Kafka for a parcel tracker.\n\n\
    ## Education\n\nMSc in Computer Science, University of Porto, 2015.\n";

/// The command line, environment, resume and resource limits of a server.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    pub(super) arguments: Vec<String>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) resume: String,
    pub(super) open_files: Option<u32>,
}

impl ServerConfig {
    /// Creates the configuration of `serve` with `upstream` as model server and `store` as
    /// database.
    pub(crate) fn serve(store: &FreshStore, upstream: &FakeOpenRouter) -> Self {
        Self::command(&["serve"])
            .with("DATABASE_URL", store.url())
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", upstream.base_url())
            .with("LLM_MODEL", "test/model")
    }

    /// Creates the configuration of `serve` with OpenRouter as model server. `upstream` is the HTTP
    /// proxy in front of it and answers all requests.
    pub(crate) fn openrouter(upstream: &FakeOpenRouter) -> Self {
        Self::command(&["serve"])
            .with("OPENROUTER_API_KEY", "sk-or-test-key")
            .with("LLM_BASE_URL", "http://openrouter.ai/api/v1")
            .with("HTTP_PROXY", upstream.base_url().trim_end_matches("/api/v1"))
            .with("LLM_MODEL", "test/model")
    }

    /// Creates the configuration of `demo`, which needs no settings.
    pub(crate) fn demo() -> Self {
        Self::command(&["demo"])
    }

    /// Creates the configuration of a command that serves. The default database is a temporary
    /// file.
    pub(crate) fn command(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments, settings: BTreeMap::new(), resume: RESUME.to_owned(), open_files: None }
            .with("PORT", "0")
            .with("OPERATOR_ADDRESS", "127.0.0.1:0")
            // All visitors of a test share one address.
            .with("MAX_CONNECTIONS_PER_ADDRESS", "1000000")
            .with("SESSIONS_PER_HOUR_PER_ADDRESS", "1000000")
            .with("QUESTIONS_PER_MINUTE_PER_ADDRESS", "1000000")
            .with("DAILY_TOKEN_LIMIT", "off")
            .with("DAILY_TOKEN_LIMIT_PER_ADDRESS", "off")
            .with("DAILY_COST_LIMIT", "off")
            .with("LOG_FORMAT", "json")
    }

    /// Sets one setting, by the name of its environment variable.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets several settings.
    pub(crate) fn with_all(self, settings: &[(&str, &str)]) -> Self {
        settings.iter().fold(self, |config, (name, value)| config.with(name, value))
    }

    /// Removes a setting.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// Sets the limit on open files.
    pub(crate) fn open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Sets the resume, in Markdown.
    pub(crate) fn resume(mut self, markdown: &str) -> Self {
        markdown.clone_into(&mut self.resume);
        self
    }
}
