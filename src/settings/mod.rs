//! The settings of the server: read from three sources, validated together, and passed on as plain
//! values.
//!
//! | module | content |
//! |---|---|
//! | `groups` | the declarations of all settings, one file per concern |
//! | `declaration` | the macros that generate structs and documentation from declarations |
//! | `kind` | the kinds of setting: integers, durations, keywords, lists, … |
//! | `values` | parsers for single values: addresses, URLs, keys, … |
//! | `sources` | defaults, TOML file and environment, merged by the `config` crate |
//! | `secret_file` | reads the settings that are secret from files of their own |
//! | `reader` | parses the merged values and collects all errors |
//! | `load` | loads the settings that a command needs |
//! | `registry` | finds declarations by name |
//! | `reference` | generates `config/default.toml`, the README's table, the help text |
//! | `error`, `redact`, `suggest` | error messages, without secrets, with suggestions |
//!
//! To add a setting, declare it in a file of `groups`. Its name is the environment variable; the
//! key in TOML files is the same in lower case.
//!
//! Nothing here logs, prints or keeps global state, and no other module reads the environment.

mod declaration;
mod error;
mod groups;
mod kind;
mod load;
mod logger_options;
mod reader;
mod redact;
pub mod reference;
mod registry;
mod secret_file;
mod sources;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

pub use error::{GivenValue, SettingError, SettingsError, ValueSource};
pub use groups::budget::BudgetSettings;
pub use groups::database::DatabaseSettings;
pub use groups::http::HttpSettings;
pub use groups::limits::{LimitSettings, SuspiciousContent};
pub use groups::llm::{DegradedMode, LlmSettings};
pub use groups::log::{LogFormat, LogSettings};
pub use groups::page::PageSettings;
pub use groups::process::ProcessSettings;
pub use groups::resume::ResumeSettings;
pub use groups::session::SessionSettings;
pub use groups::tokens::{TokenSettings, Tokenizer};
pub use load::{LoadedSettings, Purpose, process_environment};
pub use values::base_url::BaseUrl;
pub use values::database_url::DatabaseUrl;
pub use values::dialect::{MaxTokensField, StreamOptions, SystemRole};
pub use values::duration::parse as parse_duration;
pub use values::log_levels::{LogLevel, LogLevels};
pub use values::public_url::PublicUrl;

declaration::settings! {
    /// All settings, validated. `Debug` shows no secret.
    pub struct Settings {
        /// Network
        pub http: HttpSettings,
        /// Page
        pub page: PageSettings,
        /// Database
        pub database: DatabaseSettings,
        /// Resume
        pub resume: ResumeSettings,
        /// Language model
        pub llm: LlmSettings,
        /// Tokens
        pub tokens: TokenSettings,
        /// Budget
        pub budget: BudgetSettings,
        /// Limits
        pub limits: LimitSettings,
        /// Sessions
        pub session: SessionSettings,
        /// Process
        pub process: ProcessSettings,
        /// Log
        pub log: LogSettings,
    }
}
