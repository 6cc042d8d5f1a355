//! Tolerant readers of JSON fields: numbers may be text, fractions or missing.

use serde_json::Value;

/// The maximum number of characters kept of a name. No real name is longer.
const MAX_NAME_CHARS: usize = 128;

/// Returns the value at a path of keys.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// Returns a finite number, which may be written as text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    number.is_finite().then_some(number)
}

/// Returns a positive number of tokens. Other values, such as -1 for "unlimited", count as absent.
pub(crate) fn tokens(value: &Value) -> Option<u32> {
    let number = number(value)?;
    let whole: u64 = format!("{:.0}", number.floor()).parse().ok()?;
    (whole > 0).then(|| u32::try_from(whole).unwrap_or(u32::MAX))
}

/// Returns the number of tokens at a path of keys.
pub(crate) fn tokens_at(value: &Value, path: &[&str]) -> Option<u32> {
    at(value, path).and_then(tokens)
}

/// Returns a name without control characters, shortened to its maximum length; `None` if nothing is
/// left.
pub(crate) fn clean_name(name: &str) -> Option<String> {
    let is_printable = |character: &char| !character.is_control() && !is_invisible(*character);
    let name: String = name.trim().chars().filter(is_printable).take(MAX_NAME_CHARS).collect();
    (!name.is_empty()).then_some(name)
}

/// Returns whether a character changes the order or the look of a line without being visible.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn token_counts_may_be_text_or_fractions() {
        for (value, expected) in [
            (json!(8192), Some(8192)),
            (json!("8192"), Some(8192)),
            (json!(8192.0), Some(8192)),
            (json!(8191.9), Some(8191)),
            (json!(1e18), Some(u32::MAX)),
            (json!(0), None),
            (json!(-1), None),
            (json!(0.5), None),
            (json!(null), None),
            (json!("unlimited"), None),
            (json!("NaN"), None),
            (json!({"tokens": 1}), None),
            (json!(true), None),
        ] {
            assert_eq!(tokens(&value), expected, "{value}");
        }
    }

    #[test]
    fn names_are_printable_and_bounded() {
        assert_eq!(clean_name(" a\u{1b}[2J\u{202e}b\n").as_deref(), Some("a[2Jb"));
        assert_eq!(clean_name(&"x".repeat(500)).unwrap().len(), MAX_NAME_CHARS);
        assert_eq!(clean_name(" \n\u{200b}"), None);
    }
}
