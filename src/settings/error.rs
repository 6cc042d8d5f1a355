//! Errors in the settings. All errors are reported at once, and no error shows a secret.

use std::fmt;
use std::path::PathBuf;

use super::redact;

/// Every error in the settings. `Display` prints a few lines for each.
///
/// The process should exit with code 78 (`EX_CONFIG`). Visitors never see this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// The errors; never empty.
    pub errors: Vec<SettingError>,
}

/// An error in one setting. Neither `Display` nor `Debug` shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The environment variable of the setting, or the unknown key of a file, or `--config` if the
    /// file itself cannot be used.
    pub name: String,
    /// The rejected value.
    pub given: GivenValue,
    /// Where it comes from.
    pub source: ValueSource,
    /// What is wrong; completes a sentence that begins with the name.
    pub problem: String,
    /// What would be accepted.
    pub accepted: String,
}

/// The given value, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenValue {
    /// At most 60 characters, with control characters escaped and secret parts redacted.
    Shown(String),
    /// A value that must not be shown.
    Secret,
    /// No value was given.
    Missing,
}

impl GivenValue {
    /// Returns `text` as far as it may be shown.
    pub(super) fn from_text(text: &str) -> Self {
        redact::line(text).map_or(Self::Secret, Self::Shown)
    }

    /// Returns the URL `text` as far as it may be shown.
    pub(super) fn from_url(text: &str) -> Self {
        redact::url(text).map_or(Self::Secret, |redacted| Self::from_text(&redacted))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// The declaration of the setting.
    Default,
    /// The owner's TOML file.
    File(PathBuf),
    /// A variable in the environment of the process.
    Environment,
}

impl fmt::Display for GivenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(text) => f.write_str(text),
            Self::Secret => f.write_str("(not shown)"),
            Self::Missing => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => f.write_str("in the environment"),
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.name, self.problem)?;
        match self.given {
            GivenValue::Missing => writeln!(f, "  given:    {}", self.given)?,
            _ => writeln!(f, "  given:    {} ({})", self.given, self.source)?,
        }
        write!(f, "  accepted: {}", self.accepted)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => f.write_str("one setting is invalid")?,
            count => write!(f, "{count} settings are invalid")?,
        }
        for error in &self.errors {
            write!(f, "\n\n{error}")?;
        }
        Ok(())
    }
}
