//! Language tags, as far as this server compares them.

/// The keyword that leaves the language to the browser of each visitor.
pub(in crate::settings) const AUTO: &str = "auto";

/// The longest tag. Longer ones have private parts that no translation depends on.
const MAX_TAG_LENGTH: usize = 35;

/// Parses a language tag such as `de` or `pt-BR`, or `auto`.
pub(in crate::settings) fn parse(text: &str) -> Result<Option<String>, String> {
    if text.eq_ignore_ascii_case(AUTO) {
        return Ok(None);
    }
    let mut subtags = text.split('-');
    let is_language = |subtag: &str| {
        (2..=3).contains(&subtag.len()) && subtag.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    if text.len() <= MAX_TAG_LENGTH && subtags.next().is_some_and(is_language) && subtags.all(is_subtag) {
        Ok(Some(text.to_owned()))
    } else {
        Err("is not a language tag".to_owned())
    }
}

/// Formats a language such that it can be parsed again.
pub(in crate::settings) fn format(language: &Option<String>) -> String {
    language.clone().unwrap_or_else(|| AUTO.to_owned())
}
