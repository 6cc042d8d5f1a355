//! What is wrong with the settings, told to the owner all at once and without secrets.

use std::fmt;
use std::path::PathBuf;

use super::redact;

/// Every fault found in the settings; `Display` is a few lines for each.
///
/// The process should exit with code 78 (`EX_CONFIG`). No visitor ever sees this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// The faults; never empty.
    pub faults: Vec<Fault>,
}

/// One fault in one setting. Neither `Display` nor `Debug` shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting's name in the environment, or the key as it stands in the file if it is no
    /// setting, or `--config` if the file itself is at fault.
    pub name: String,
    /// What was given.
    pub given: Given,
    /// Where it was given.
    pub source: Source,
    /// What is wrong with it, to be read after the name and value.
    pub problem: String,
    /// What would be accepted.
    pub accepted: String,
}

/// What was given for a setting, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The value: at most 60 characters, control characters escaped, parts that are secret masked.
    Shown(String),
    /// Something that must not be shown.
    Secret,
    /// Nothing.
    Missing,
}

impl Given {
    /// `text` as far as it may be shown.
    pub(super) fn shown(text: &str) -> Self {
        redact::line(text).map_or(Self::Secret, Self::Shown)
    }

    /// The URL `text` as far as it may be shown.
    pub(super) fn url(text: &str) -> Self {
        redact::url(text).map_or(Self::Secret, |masked| Self::shown(&masked))
    }
}

/// The layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `config/default.toml`.
    Default,
    /// The owner's TOML file.
    File(PathBuf),
    /// The environment.
    Environment,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(text) => f.write_str(text),
            Self::Secret => f.write_str("(not shown)"),
            Self::Missing => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => f.write_str("in the environment"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.name, self.problem)?;
        match self.given {
            Given::Missing => writeln!(f, "  given:    {}", self.given)?,
            _ => writeln!(f, "  given:    {} ({})", self.given, self.source)?,
        }
        write!(f, "  accepted: {}", self.accepted)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => f.write_str("one setting is at fault")?,
            count => write!(f, "{count} settings are at fault")?,
        }
        for fault in &self.faults {
            write!(f, "\n\n{fault}")?;
        }
        Ok(())
    }
}
