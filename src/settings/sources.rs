//! The sources of settings: the declared defaults, the owner's TOML file and the environment. The
//! `config` crate merges them; a later source overrides an earlier one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::error::{GivenValue, SettingError, ValueSource};
use super::kind::Input;
use super::{registry, secret_file, suggest};

/// Begins the origin of a value from a file; the path follows.
const FILE_PREFIX: &str = "file:";
const ENVIRONMENT: &str = "environment";

/// The values from one source, by the names of their settings. Unset settings are absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    /// Returns the layer of the declared defaults.
    pub(super) fn from_defaults() -> Self {
        let mut layer = Self::default();
        for declaration in registry::declarations() {
            layer.set(declaration.name, ValueKind::from(declaration.default), &ValueSource::Default);
        }
        layer
    }

    /// Reads the owner's file. Reports unknown keys, and a file that cannot be read.
    pub(super) fn from_file(path: &Path, errors: &mut Vec<SettingError>) -> Self {
        let text = match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                errors.push(unusable_file(path, "is not UTF-8 text".to_owned()));
                return Self::default();
            }
            Err(error) => {
                errors.push(unusable_file(path, format!("cannot be read: {error}")));
                return Self::default();
            }
        };
        match File::from_str(&text, FileFormat::Toml).collect() {
            Ok(table) => Self::from_table(table, &ValueSource::File(path.to_owned()), errors),
            Err(error) => {
                let problem = format!("is not TOML{}", position(&error.to_string()));
                errors.push(unusable_file(path, problem));
                Self::default()
            }
        }
    }

    fn from_table(table: Map<String, Value>, source: &ValueSource, errors: &mut Vec<SettingError>) -> Self {
        let mut layer = Self::default();
        let mut unknown_keys = Vec::new();
        for (key, value) in table {
            match registry::declarations().find(|setting| setting.name.to_ascii_lowercase() == key) {
                Some(setting) => layer.set(setting.name, value.kind, source),
                None => match secret_file::name_of_key(&key) {
                    Some(name) => layer.set(&name, value.kind, source),
                    None => unknown_keys.push(key),
                },
            }
        }
        unknown_keys.sort_unstable();
        errors.extend(unknown_keys.iter().map(|key| unknown_key(key, source)));
        layer
    }

    /// Reads the environment. Ignores variables that are not settings, but warns about those that
    /// look like a misspelt setting.
    pub(super) fn from_environment(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut layer = Self::default();
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            if registry::declaration(name).is_some() || secret_file::setting_of(name).is_some() {
                layer.set(name, from_variable(&value), &ValueSource::Environment);
            } else if let Some(setting) = suggest::setting_for_variable(name) {
                warnings.push(format!(
                    "the environment variable {name} is not a setting and is ignored; did you mean {}?",
                    setting.name
                ));
            }
        }
        warnings.sort_unstable();
        layer
    }

    /// Keeps only the settings whose names pass the filter.
    pub(super) fn retain(&mut self, filter: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| filter(name));
    }

    /// Returns the value with this name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Removes the value with this name and returns it.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Sets a value, or removes it if it is empty: an empty value counts as unset.
    pub(super) fn set(&mut self, name: &str, kind: ValueKind, source: &ValueSource) {
        match normalize(kind) {
            Some(kind) => self.0.insert(name.to_owned(), Value::new(Some(&origin(source)), kind)),
            None => self.0.remove(name),
        };
    }
}

/// Merges the layers. Each overrides the ones before it.
pub(super) fn merge(layers: impl IntoIterator<Item = Layer>) -> Result<Map<String, Value>, ConfigError> {
    let builder = layers.into_iter().fold(Config::builder(), |builder, layer| builder.add_source(layer));
    builder.build()?.collect()
}

/// Describes a source in the form in which `config` keeps it with each value.
fn origin(source: &ValueSource) -> String {
    match source {
        ValueSource::Default => String::new(),
        ValueSource::File(path) => format!("{FILE_PREFIX}{}", path.display()),
        ValueSource::Environment => ENVIRONMENT.to_owned(),
    }
}

/// Returns the source of a merged value.
pub(super) fn source_of(value: &Value) -> ValueSource {
    let origin = value.origin().unwrap_or_default();
    match origin.strip_prefix(FILE_PREFIX) {
        Some(path) => ValueSource::File(PathBuf::from(path)),
        None if origin == ENVIRONMENT => ValueSource::Environment,
        None => ValueSource::Default,
    }
}

/// Converts a merged value. The error is the reason why no setting can have this value.
pub(super) fn input_of(value: &Value) -> Result<Input, &'static str> {
    match &value.kind {
        ValueKind::Nil => Err("is not UTF-8 text"),
        ValueKind::Array(items) if items.iter().any(|item| matches!(item.kind, ValueKind::Table(_))) => {
            Err("is a table, but settings are flat keys")
        }
        ValueKind::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| scalar_text(&item.kind)).collect();
            texts.map(Input::List).ok_or("is a list of more than plain values")
        }
        scalar => Ok(Input::Text(scalar_text(scalar).unwrap_or_default())),
    }
}

/// Converts the value of a variable. TOML has no null, so `Nil` marks a value that is not UTF-8.
fn from_variable(value: &OsStr) -> ValueKind {
    value.to_str().map_or(ValueKind::Nil, ValueKind::from)
}

/// Removes empty items from lists; returns `None` for empty texts and lists. Wraps a table into a
/// list, because `config` would merge it with other tables and drop its origin.
fn normalize(kind: ValueKind) -> Option<ValueKind> {
    let is_empty = |kind: &ValueKind| scalar_text(kind).is_some_and(|text| text.is_empty());
    match kind {
        ValueKind::Array(mut items) => {
            items.retain(|item| !is_empty(&item.kind));
            (!items.is_empty()).then_some(ValueKind::Array(items))
        }
        table @ ValueKind::Table(_) => Some(ValueKind::Array(vec![Value::new(None, table)])),
        kind => (!is_empty(&kind)).then_some(kind),
    }
}

/// Returns the trimmed text of a plain value.
fn scalar_text(kind: &ValueKind) -> Option<String> {
    match kind {
        ValueKind::Boolean(value) => Some(value.to_string()),
        ValueKind::I64(value) => Some(value.to_string()),
        ValueKind::I128(value) => Some(value.to_string()),
        ValueKind::U64(value) => Some(value.to_string()),
        ValueKind::U128(value) => Some(value.to_string()),
        ValueKind::Float(value) => Some(value.to_string()),
        ValueKind::String(value) => Some(value.trim().to_owned()),
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => None,
    }
}

fn unknown_key(key: &str, source: &ValueSource) -> SettingError {
    let (problem, accepted) = match suggest::setting_for_key(key) {
        Some(setting) => {
            let suggestion = setting.name.to_ascii_lowercase();
            let problem = format!("is not a setting; did you mean {suggestion}?");
            (problem, format!("{suggestion}: {}", setting.accepted))
        }
        None => (
            "is not a setting".to_owned(),
            "the keys of config/default.toml, in lower case, outside of any table".to_owned(),
        ),
    };
    SettingError {
        name: match GivenValue::from_text(key) {
            GivenValue::Shown(key) => key,
            other => other.to_string(),
        },
        // The value may be the API key, under a misspelt name.
        given: GivenValue::Secret,
        source: source.clone(),
        problem,
        accepted,
    }
}

fn unusable_file(path: &Path, problem: String) -> SettingError {
    SettingError {
        name: "--config".to_owned(),
        given: GivenValue::from_text(&path.to_string_lossy()),
        source: ValueSource::File(path.to_owned()),
        problem,
        accepted: "a TOML file of lines such as port = 8080 or host = \"0.0.0.0\"".to_owned(),
    }
}

/// Returns the position of a TOML error. The rest of the message quotes the file, which may contain
/// secrets.
fn position(message: &str) -> String {
    message
        .split_once("error at ")
        .and_then(|(_, rest)| rest.lines().next())
        .filter(|place| place.starts_with("line "))
        .map_or_else(String::new, |place| format!(" at {place}"))
}
