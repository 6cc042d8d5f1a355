//! Parses merged values into settings and collects all errors and warnings.

use std::collections::BTreeSet;

use config::{Map, Value};

use super::declaration::Setting;
use super::error::{GivenValue, SettingError, ValueSource};
use super::kind::{Input, Redaction};
use super::{registry, sources};

/// Parses merged values into settings and collects all errors and warnings.
pub(in crate::settings) struct SettingsReader {
    values: Map<String, Value>,
    errors: Vec<SettingError>,
    warnings: Vec<String>,
    /// The settings whose values could not be read or were rejected by [`SettingsReader::read`].
    invalid: BTreeSet<&'static str>,
    /// The settings whose values were removed.
    removed: BTreeSet<&'static str>,
}

impl SettingsReader {
    /// Creates a reader of `values`. The settings in `invalid` have an error already, so no further
    /// one is reported for them.
    pub(in crate::settings) fn new(values: Map<String, Value>, invalid: BTreeSet<&'static str>) -> Self {
        Self { values, errors: Vec::new(), warnings: Vec::new(), invalid, removed: BTreeSet::new() }
    }

    /// Returns the errors, in the order of the settings, and the warnings.
    pub(in crate::settings) fn finish(mut self) -> (Vec<SettingError>, Vec<String>) {
        self.errors.sort_by_key(|error| registry::declarations().position(|known| known.name == error.name));
        (self.errors, self.warnings)
    }

    /// Parses a setting. Returns the default for a rejected value, so that the other settings can
    /// still be checked; `None` if there is no valid default.
    pub(in crate::settings) fn read<T: 'static>(&mut self, setting: &Setting<T>) -> Option<T> {
        let Some(value) = self.values.get(setting.name).cloned() else {
            return setting.kind.unset().or_else(|| {
                self.missing(setting.name, "is required");
                None
            });
        };
        let source = sources::source_of(&value);
        let rejected = match sources::input_of(&value) {
            Ok(input) => match setting.kind.parse(&input) {
                Ok(value) => return Some(value),
                Err(rejected) => rejected
                    .into_iter()
                    .map(|rejection| (shown(&rejection.value, setting.kind.redaction), rejection.problem))
                    .collect(),
            },
            Err(problem) => vec![(GivenValue::Secret, problem.to_owned())],
        };
        for (given, problem) in rejected {
            self.reject(setting.name, given, source.clone(), problem);
        }
        self.invalid.insert(setting.name);
        setting.default_value()
    }

    /// Reports that two valid settings contradict each other, unless one of them was rejected. The
    /// error names the setting that was given, or the first if both were.
    pub(in crate::settings) fn conflict(
        &mut self,
        first: &'static str,
        second: &'static str,
        problem: impl Fn(&str) -> String,
    ) {
        if !self.is_valid(first) || !self.is_valid(second) {
            return;
        }
        let (name, other) =
            if self.is_given(second) && !self.is_given(first) { (second, first) } else { (first, second) };
        let redaction = registry::declaration(name).map_or(Redaction::Secret, |known| known.redaction);
        let Some(value) = self.values.get(name) else { return };
        let given = match sources::input_of(value) {
            Ok(Input::Text(text)) => shown(&text, redaction),
            Ok(Input::List(items)) => shown(&items.join(", "), redaction),
            Err(_) => GivenValue::Secret,
        };
        let source = sources::source_of(value);
        self.reject(name, given, source, problem(other));
    }

    /// Reports that an unset setting is required, unless its value was rejected.
    pub(in crate::settings) fn missing(&mut self, name: &'static str, problem: &str) {
        if self.is_valid(name) {
            self.reject(name, GivenValue::Missing, ValueSource::Default, problem.to_owned());
        }
    }

    /// Adds a warning about a setting that works but is probably a mistake.
    pub(in crate::settings) fn warn(&mut self, name: &str, warning: &str) {
        self.warnings.push(format!("{name} {warning}"));
    }

    /// Returns false if the value of the setting was rejected and the default is used instead.
    pub(in crate::settings) fn is_valid(&self, name: &str) -> bool {
        !self.invalid.contains(name)
    }

    /// Returns whether the owner has set the setting to another value than its default. A copy of
    /// `config/default.toml` changes no setting; the environment contains only what the owner
    /// wants.
    pub(in crate::settings) fn is_changed(&self, name: &str) -> bool {
        let Some(value) = self.values.get(name) else { return false };
        match sources::source_of(value) {
            ValueSource::Default => false,
            ValueSource::Environment => true,
            ValueSource::File(_) => {
                let default = registry::declaration(name).map(|known| known.default);
                !matches!(sources::input_of(value), Ok(Input::Text(text)) if Some(text.as_str()) == default)
            }
        }
    }

    /// Removes the value of a setting, which is then unset. Returns whether it had one.
    pub(in crate::settings) fn remove(&mut self, name: &'static str) -> bool {
        let is_removed = self.values.remove(name).is_some();
        if is_removed {
            self.removed.insert(name);
        }
        is_removed
    }

    /// Returns whether the value of the setting was removed.
    pub(in crate::settings) fn is_removed(&self, name: &str) -> bool {
        self.removed.contains(name)
    }

    /// Parses a setting without reporting errors.
    pub(in crate::settings) fn peek<T: 'static>(&self, setting: &Setting<T>) -> Option<T> {
        let input = sources::input_of(self.values.get(setting.name)?).ok()?;
        setting.kind.parse(&input).ok()
    }

    /// Returns whether the setting has a value, whatever it is.
    pub(in crate::settings) fn has_value(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn is_given(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| sources::source_of(value) != ValueSource::Default)
    }

    fn reject(&mut self, name: &str, given: GivenValue, source: ValueSource, problem: String) {
        let accepted = registry::declaration(name).map(|known| known.accepted.clone()).unwrap_or_default();
        self.errors.push(SettingError { name: name.to_owned(), given, source, problem, accepted });
    }
}

/// Returns a rejected value as far as it may be shown.
fn shown(text: &str, redaction: Redaction) -> GivenValue {
    match redaction {
        Redaction::Secret => GivenValue::Secret,
        Redaction::Url | Redaction::UrlWithPassword => GivenValue::from_url(text),
        Redaction::TextOrUrl if text.contains("://") => GivenValue::from_url(text),
        Redaction::Text | Redaction::TextOrUrl => GivenValue::from_text(text),
    }
}
