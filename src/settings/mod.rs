//! What the owner can set: read from three layers, validated as a whole, handed on as plain values.
//!
//! `config/default.toml` (compiled in) is overridden by an optional TOML file, which is overridden
//! by the environment. Each setting has one name: a flat lower-case key in TOML, the same name in
//! capitals in the environment. Every fault in every layer is reported in one [`SettingsError`].
//!
//! In reading order: `sections` and `choices` are what the rest of the program sees; `catalogue`
//! is the table of names and bounds; `sources` finds the text of each setting, `reader` turns text
//! into values and collects faults, `load` puts the two together. Each file of `values` knows one
//! kind of value; `redact` decides what of a value may be shown, and `error` says what was wrong
//! with it.
//!
//! What is absent: no other module reads the environment, and nothing here logs, prints or keeps
//! global state.

mod catalogue;
mod choices;
mod error;
mod load;
mod reader;
mod redact;
mod sections;
mod sources;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

pub use choices::{DegradedMode, LogFormat, LogLevel, SuspiciousContent, Tokenizer};
pub use error::{Fault, Given, SettingsError, Source};
pub use load::{Loaded, Purpose, process_environment};
pub use sections::{
    BudgetSettings, DatabaseSettings, HttpSettings, LimitSettings, LlmSettings, LogSettings, ResumeSettings,
    SessionSettings, Settings, TokenSettings,
};
pub use values::database_url::DatabaseUrl;
pub use values::duration::parse as parse_duration;
