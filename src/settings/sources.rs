//! The three layers a setting's text may come from, and which of them wins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use config::{File, FileFormat, Map, Source as _, Value, ValueKind};

use super::catalogue::{self, Setting};
use super::error::{Fault, Given, Source};
use super::suggest;

/// The defaults, which are also their own documentation.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// A setting's value before it is understood, and where it came from.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) content: Content,
    pub(super) source: Source,
}

/// A value before it is understood.
#[derive(Clone)]
pub(super) enum Content {
    /// Not empty, without white space around it.
    Text(String),
    /// A TOML array; neither it nor any text in it is empty.
    List(Vec<String>),
    /// Something no setting can be, and what is wrong with it.
    Unusable(&'static str),
}

/// The values that were given in a layer, by the settings' names.
pub(super) type Layer = BTreeMap<&'static str, Raw>;

/// The layer of defaults.
pub(super) fn defaults(faults: &mut Vec<Fault>) -> Layer {
    from_toml(DEFAULTS, &Source::Default, faults)
}

/// The layer of the owner's file.
pub(super) fn from_file(path: &Path, faults: &mut Vec<Fault>) -> Layer {
    let source = Source::File(path.to_owned());
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => from_toml(&text, &source, faults),
        Ok(Err(_)) => {
            faults.push(unusable_file(&source, "is not UTF-8 text".to_owned()));
            Layer::new()
        }
        Err(error) => {
            faults.push(unusable_file(&source, format!("cannot be read: {error}")));
            Layer::new()
        }
    }
}

/// The layer of the environment. Variables that are no settings are passed over, but one that was
/// probably meant to be a setting is warned of.
pub(super) fn from_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    warnings: &mut Vec<String>,
) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        if let Some(setting) = catalogue::ALL.iter().find(|setting| setting.name == name) {
            let content = from_os(&value);
            insert(&mut layer, setting, content, &Source::Environment);
        } else if let Some(setting) = suggest::meant_in_environment(name) {
            warnings.push(format!(
                "the environment variable {name} is no setting and is ignored; did you mean {}?",
                setting.name
            ));
        }
    }
    warnings.sort_unstable();
    layer
}

fn from_os(value: &OsStr) -> Option<Content> {
    match value.to_str() {
        Some(text) => from_text(text),
        None => Some(Content::Unusable("is not UTF-8 text")),
    }
}

fn from_toml(text: &str, source: &Source, faults: &mut Vec<Fault>) -> Layer {
    let parsed = File::from_str(text, FileFormat::Toml).collect();
    let table: Map<String, Value> = match parsed {
        Ok(table) => table,
        Err(error) => {
            let problem = format!("is not TOML{}", position(&error.to_string()));
            faults.push(unusable_file(source, problem));
            return Layer::new();
        }
    };
    let mut layer = Layer::new();
    let mut strangers = Vec::new();
    for (key, value) in table {
        let known = catalogue::ALL.iter().find(|setting| setting.name.to_ascii_lowercase() == key);
        match known {
            Some(setting) => insert(&mut layer, setting, from_value(value.kind), source),
            None => strangers.push(key),
        }
    }
    strangers.sort_unstable();
    faults.extend(strangers.iter().map(|key| unknown(key, source)));
    layer
}

fn insert(layer: &mut Layer, setting: &Setting, content: Option<Content>, source: &Source) {
    match content {
        Some(content) => {
            let source = source.clone();
            layer.insert(setting.name, Raw { content, source });
        }
        // An empty value is as good as no line; the last of two of the same name counts.
        None => {
            layer.remove(setting.name);
        }
    }
}

fn from_text(text: &str) -> Option<Content> {
    let text = text.trim();
    (!text.is_empty()).then(|| Content::Text(text.to_owned()))
}

fn from_value(kind: ValueKind) -> Option<Content> {
    match kind {
        ValueKind::Table(_) => Some(Content::Unusable("is a table, but settings are flat keys")),
        ValueKind::Array(values) => {
            let texts: Option<Vec<String>> = values.into_iter().map(|value| scalar(value.kind)).collect();
            match texts {
                Some(mut texts) => {
                    texts.retain(|text| !text.is_empty());
                    (!texts.is_empty()).then_some(Content::List(texts))
                }
                None => Some(Content::Unusable("is a list of more than plain values")),
            }
        }
        other => scalar(other).and_then(|text| from_text(&text)),
    }
}

/// The trimmed text of a plain value; `None` of a table or list.
fn scalar(kind: ValueKind) -> Option<String> {
    match kind {
        ValueKind::Nil => Some(String::new()),
        ValueKind::Boolean(value) => Some(value.to_string()),
        ValueKind::I64(value) => Some(value.to_string()),
        ValueKind::I128(value) => Some(value.to_string()),
        ValueKind::U64(value) => Some(value.to_string()),
        ValueKind::U128(value) => Some(value.to_string()),
        ValueKind::Float(value) => Some(value.to_string()),
        ValueKind::String(value) => Some(value.trim().to_owned()),
        ValueKind::Table(_) | ValueKind::Array(_) => None,
    }
}

fn unknown(key: &str, source: &Source) -> Fault {
    let (problem, accepted) = match suggest::meant_in_file(key) {
        Some(setting) => {
            let meant = setting.name.to_ascii_lowercase();
            let problem = format!("is not a setting; did you mean {meant}?");
            (problem, format!("{meant}: {}", setting.form.accepted()))
        }
        None => (
            "is not a setting".to_owned(),
            "the keys of config/default.toml, in lower case, outside of any table".to_owned(),
        ),
    };
    Fault {
        name: match Given::shown(key) {
            Given::Shown(key) => key,
            other => other.to_string(),
        },
        // A misspelt key may well hold the API key.
        given: Given::Secret,
        source: source.clone(),
        problem,
        accepted,
    }
}

fn unusable_file(source: &Source, problem: String) -> Fault {
    let given = match source {
        Source::File(path) => Given::shown(&path.to_string_lossy()),
        Source::Default | Source::Environment => Given::Missing,
    };
    Fault {
        name: "--config".to_owned(),
        given,
        source: source.clone(),
        problem,
        accepted: "a TOML file of lines such as port = 8080 or host = \"0.0.0.0\"".to_owned(),
    }
}

/// Where a TOML error is. The rest of the parser's message quotes the file, which may hold secrets.
fn position(message: &str) -> String {
    message
        .split_once("error at ")
        .and_then(|(_, rest)| rest.lines().next())
        .filter(|place| place.starts_with("line "))
        .map_or_else(String::new, |place| format!(" at {place}"))
}
