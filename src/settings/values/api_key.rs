//! The API key: what cannot be one, and how much of it may be shown.

use secrecy::{ExposeSecret, SecretString};

use super::super::redact::DOTS;

/// Whole keys that stand for "none yet", in lower case.
const STAND_INS: [&str; 12] = [
    "api-key",
    "api_key",
    "apikey",
    "key",
    "none",
    "null",
    "openrouter_api_key",
    "secret",
    "tbd",
    "todo",
    "undefined",
    "unset",
];

/// Pieces of the keys that people write into examples, in lower case.
const HINTS: [&str; 15] = [
    "...",
    "…",
    "changeme",
    "change-me",
    "change_me",
    "example",
    "fixme",
    "insert",
    "key-here",
    "key_here",
    "paste",
    "placeholder",
    "replace",
    "your-",
    "your_",
];

/// What keys begin with; a key that has nothing but one of these is none.
const PREFIXES: [&str; 3] = ["sk-or-v1", "sk-or", "sk"];

/// The fewest characters of which the last four may be shown.
const LONG_ENOUGH_TO_HINT: usize = 20;

/// Reads a key; the error says what is wrong without any of the key in it.
pub(in crate::settings) fn parse(text: &str) -> Result<SecretString, String> {
    if text.starts_with(['"', '\'', '`']) || text.ends_with(['"', '\'', '`']) {
        return Err("has quotes around it".to_owned());
    }
    if is_placeholder(text) {
        return Err("is a placeholder, not a key".to_owned());
    }
    if text.chars().any(char::is_whitespace) {
        return Err("has white space in it".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters in it".to_owned());
    }
    if !text.is_ascii() {
        return Err("has characters other than ASCII in it".to_owned());
    }
    Ok(SecretString::from(text))
}

/// The key as dots, with its last four characters if it is long enough for them to give nothing
/// away.
pub(in crate::settings) fn masked(key: &SecretString) -> String {
    let key = key.expose_secret();
    let length = key.chars().count();
    let ending: String =
        if length >= LONG_ENOUGH_TO_HINT { key.chars().skip(length - 4).collect() } else { String::new() };
    format!("{DOTS}{ending}")
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_lowercase();
    let rest = PREFIXES
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower)
        .trim_start_matches(['-', '_']);
    let is_filler = |c: char| "x*.-_0#?".contains(c);
    STAND_INS.contains(&rest)
        || HINTS.iter().any(|hint| lower.contains(hint))
        || rest.chars().all(is_filler)
        || rest.starts_with("your") && rest.ends_with("key")
        || lower.starts_with(['<', '$', '{', '[', '%']) // <key>, $KEY, ${KEY}, {{ key }}, %KEY%
}
