//! The API key: rejects placeholders, and redacts the key.

use secrecy::{ExposeSecret, SecretString};

use crate::settings::redact::DOTS;

/// Keys that are placeholders as a whole, in lower case.
const PLACEHOLDERS: [&str; 12] = [
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

/// Parts of keys in examples, in lower case.
const PLACEHOLDER_PARTS: [&str; 15] = [
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

/// Prefixes of OpenRouter keys. A key needs more than a prefix.
const PREFIXES: [&str; 3] = ["sk-or-v1", "sk-or", "sk"];

/// The minimum length of a key whose last four characters are shown.
const MIN_LENGTH_TO_SHOW_END: usize = 20;

/// Parses a key. Errors contain no part of it.
pub(in crate::settings) fn parse(text: &str) -> Result<SecretString, String> {
    if text.starts_with(['"', '\'', '`']) || text.ends_with(['"', '\'', '`']) {
        return Err("is enclosed in quotes".to_owned());
    }
    if is_placeholder(text) {
        return Err("is a placeholder, not a key".to_owned());
    }
    if text.chars().any(char::is_whitespace) {
        return Err("contains white space".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("contains control characters".to_owned());
    }
    if !text.is_ascii() {
        return Err("contains characters that are not ASCII".to_owned());
    }
    Ok(SecretString::from(text))
}

/// Formats a key as dots, followed by its last four characters if it is long enough.
pub(in crate::settings) fn redacted(key: &SecretString) -> String {
    let key = key.expose_secret();
    let length = key.chars().count();
    let ending: String =
        if length >= MIN_LENGTH_TO_SHOW_END { key.chars().skip(length - 4).collect() } else { String::new() };
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
    PLACEHOLDERS.contains(&rest)
        || PLACEHOLDER_PARTS.iter().any(|part| lower.contains(part))
        || rest.chars().all(is_filler)
        || rest.starts_with("your") && rest.ends_with("key")
        || lower.starts_with(['<', '$', '{', '[', '%']) // <key>, $KEY, ${KEY}, {{ key }}, %KEY%
}
