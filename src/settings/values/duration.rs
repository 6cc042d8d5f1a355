//! Durations, written as a whole number and a unit.

use std::time::Duration;

/// The accepted units and their lengths in milliseconds, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses `500ms`, `30s`, `5m`, `24h`, or a bare number of seconds.
///
/// # Errors
/// What is wrong, as the end of a sentence: `has an unknown unit`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits).unwrap_or_default().trim_start();
    if digits.is_empty() {
        return Err("does not begin with a number".to_owned());
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number with one unit".to_owned());
    }
    let unit = if unit.is_empty() { "s" } else { unit };
    let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("has an unknown unit".to_owned());
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*length))
        .map(Duration::from_millis)
        .ok_or_else(|| "is too long".to_owned())
}

/// Formats a duration of whole milliseconds in the longest unit that is exact.
pub(in crate::settings) fn format(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .find(|(_, length)| milliseconds.is_multiple_of(u128::from(*length)))
        .map_or_else(String::new, |(name, length)| format!("{}{name}", milliseconds / u128::from(*length)))
}
