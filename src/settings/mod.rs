//! What the owner can set: read from three layers, validated as a whole, handed on as plain values.
//!
//! `config/default.toml` (compiled in) is overridden by an optional TOML file, which is overridden
//! by the environment. Each setting has one name: a flat lower-case key in TOML, the same name in
//! capitals in the environment. Every fault in every layer is reported in one [`SettingsError`].
//!
//! In reading order: `sections` and `choices` are what the rest of the program sees; `catalogue`
//! is the table of names and bounds; `layers` finds the text of each setting, `reader` turns text
//! into values and collects faults, `load` puts the two together. `database`, `base_url`,
//! `api_key`, `origins`, `address`, `log_levels`, `resume`, `money` and `duration` each know one kind of value; `mask`
//! decides what of a value may be shown, and `fault` says what was wrong with it.
//!
//! What is absent: no other module reads the environment, and nothing here logs, prints or keeps
//! global state.

mod address;
mod api_key;
mod base_url;
mod catalogue;
mod choices;
mod database;
mod duration;
mod fault;
mod layers;
mod load;
mod log_levels;
mod logger_options;
mod mask;
mod money;
mod nearness;
mod origins;
mod reader;
mod resume;
mod sections;

#[cfg(test)]
mod tests;

pub use choices::{DegradedMode, LogFormat, LogLevel, SuspiciousContent, Tokenizer};
pub use database::DatabaseUrl;
pub use duration::parse as parse_duration;
pub use fault::{Fault, Given, SettingsError, Source};
pub use load::{Loaded, Purpose, process_environment};
pub use sections::{
    BudgetSettings, DatabaseSettings, HttpSettings, LimitSettings, LlmSettings, LogSettings, ResumeSettings,
    SessionSettings, Settings, TokenSettings,
};
