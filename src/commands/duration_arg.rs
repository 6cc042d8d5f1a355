//! Parses duration arguments: the units of settings, and also days and weeks.

use std::time::Duration;

use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::settings::parse_duration;

/// A unit that settings do not have.
struct LongUnit {
    suffix: &'static str,
    hours: u64,
}

const LONG_UNITS: [LongUnit; 2] =
    [LongUnit { suffix: "d", hours: 24 }, LongUnit { suffix: "w", hours: 24 * 7 }];

/// Parses `7d`, `2w`, `24h`, `30m`, `90s`, or a number of seconds.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    for LongUnit { suffix, hours } in LONG_UNITS {
        let Some(count) = text.strip_suffix(suffix).map(str::trim_end) else { continue };
        if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) {
            let hours = count.parse::<u64>().ok().and_then(|count| count.checked_mul(hours));
            let seconds = hours.and_then(|hours| hours.checked_mul(3600));
            return seconds.map(Duration::from_secs).ok_or_else(|| "the duration is too long".to_owned());
        }
    }
    parse_duration(text).map_err(|problem| format!("it {problem}; write 90s, 30m, 24h, 7d or 2w"))
}

/// Returns the time that is `age` before now, or the Unix epoch if no age is given.
pub(super) fn cutoff(age: Option<Duration>) -> Timestamp {
    age.map_or(Timestamp(0), |age| Timestamp::now().minus(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_parsed_in_addition_to_the_units_of_settings() {
        let hours = |count: u64| Ok(Duration::from_secs(count * 3600));
        assert_eq!(parse("7d"), hours(168));
        assert_eq!(parse(" 2 w "), hours(336));
        assert_eq!(parse("24h"), hours(24));
        assert_eq!(parse("3600"), hours(1));
        for invalid in
            ["", "d", "-1d", "1.5d", "soon", "7 years", "99999999999999999999d", "18446744073709551615w"]
        {
            assert!(parse(invalid).is_err(), "{invalid}");
        }
    }
}
