//! Spans of time on the command line: as in settings, and also in days and weeks, which are what owners think in.

use std::time::Duration;

use resume_chatbot::clock::Timestamp;
use resume_chatbot::settings::parse_duration;

/// Units that settings do not have, in hours.
const LONG_UNITS: [(&str, u64); 2] = [("d", 24), ("w", 24 * 7)];

/// Reads `7d`, `2w`, `24h`, `30m`, `90s`, or a bare number of seconds.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    for (unit, hours) in LONG_UNITS {
        let Some(count) = text.strip_suffix(unit).map(str::trim_end) else { continue };
        if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) {
            let hours = count.parse::<u64>().ok().and_then(|it| it.checked_mul(hours));
            let seconds = hours.and_then(|it| it.checked_mul(3600));
            return seconds.map(Duration::from_secs).ok_or_else(|| "it is too long to count".to_owned());
        }
    }
    parse_duration(text).map_err(|problem| format!("it {problem}; write 90s, 30m, 24h, 7d or 2w"))
}

/// The time that was so long ago; the beginning of time when no span is given.
pub(super) fn ago(span: Option<Duration>) -> Timestamp {
    span.map_or(Timestamp(0), |span| Timestamp::now().minus(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_read_beside_the_units_of_settings() {
        let hours = |count: u64| Ok(Duration::from_secs(count * 3600));
        assert_eq!(parse("7d"), hours(168));
        assert_eq!(parse(" 2 w "), hours(336));
        assert_eq!(parse("24h"), hours(24));
        assert_eq!(parse("3600"), hours(1));
        for wrong in
            ["", "d", "-1d", "1.5d", "soon", "7 years", "99999999999999999999d", "18446744073709551615w"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
