//! Turns the texts of `assets/locales/` into modules and into a table for the server.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Result;

/// The directory of the texts, below the directory of the browser files.
pub(crate) const DIRECTORY: &str = "locales/";

/// Texts that only the server uses, for the page around the chat.
const OF_SERVER: [&str; 3] = ["page.contact", "page.description", "page.no_script"];

/// The beginnings of the keys of texts that the chat loads only when they are needed.
const LOADED_LATER: [&str; 11] = [
    "close.",
    "comment.",
    "composer.characters",
    "composer.noQuestions",
    "composer.questions",
    "conversations.",
    "error.",
    "notice.",
    "time.midnight",
    "turn.length",
    "turn.lost",
];

/// Texts for a visitor who is not connected, so that nothing can be loaded.
const OFFLINE: [&str; 6] = [
    "close.1000",
    "close.1012",
    "error.CONNECTION_CLOSED",
    "error.CONNECTION_CLOSED.final",
    "error.SHUTTING_DOWN",
    "error.unknown",
];

/// The modules of a language: the texts that every chat loads, and those that few visitors need.
/// Each is a pair of path and source.
pub(crate) fn modules(language: &str, json: &str) -> Result<[(String, String); 2]> {
    let mut texts: Map<String, Value> = serde_json::from_str(json)?;
    texts.retain(|key, _| !OF_SERVER.contains(&key.as_str()));
    let is_later =
        |key: &str| !OFFLINE.contains(&key) && LOADED_LATER.iter().any(|start| key.starts_with(start));
    let (more, chat): (Map<_, _>, Map<_, _>) = texts.into_iter().partition(|(key, _)| is_later(key));
    let source = |texts| format!("export default {}", Value::Object(texts));
    Ok([
        (format!("{DIRECTORY}{language}.js"), source(chat)),
        (format!("{DIRECTORY}more/{language}.js"), source(more)),
    ])
}

/// Returns the path and source of the module that lists the languages.
pub(crate) fn index(languages: &[(String, PathBuf)]) -> (String, String) {
    let languages: Vec<&str> = languages.iter().map(|(language, _)| language.as_str()).collect();
    (format!("{DIRECTORY}index.js"), format!("export const languages={languages:?};"))
}

/// Returns the languages with the files of their texts.
pub(crate) fn languages(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut languages = Vec::new();
    for entry in fs::read_dir(fs::canonicalize(root.join(DIRECTORY))?)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("json")) {
            let language = path.file_stem().and_then(OsStr::to_str).ok_or("a file name is not UTF-8")?;
            languages.push((language.to_owned(), path));
        }
    }
    languages.sort();
    Ok(languages)
}

/// Adds the table of texts by language, from which the server takes the texts of the page.
pub(crate) fn write_table(code: &mut String, languages: &[(String, PathBuf)]) -> Result<()> {
    writeln!(code, "pub(in crate::http) static LOCALES: [(&str, &str); {}] = [", languages.len())?;
    for (language, path) in languages {
        writeln!(code, "    ({language:?}, include_str!({path:?})),")?;
    }
    writeln!(code, "];")?;
    Ok(())
}
