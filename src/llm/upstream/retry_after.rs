//! How long a server asks clients to wait: in headers, in the fields of an error, in its words.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::domain::clock::Timestamp;
use crate::llm::upstream::json::Json;

/// The maximum wait that is accepted from a server.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Numbers above this are milliseconds since 1970, and numbers above the next one seconds.
const MIN_EPOCH_MILLIS: f64 = 1e11;
const MIN_EPOCH_SECONDS: f64 = 1e9;

/// Words before the time to wait in explanations of OpenAI, Groq and others.
const PHRASES: [&str; 5] = ["try again in ", "try again after ", "retry in ", "retry after ", "wait "];

/// Returns the wait in the headers of a response.
pub(crate) fn from_headers(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = || text("retry-after-ms")?.parse().ok().and_then(|millis: f64| seconds(millis / 1e3));
    let standard = || {
        let value = text(RETRY_AFTER.as_str())?;
        wait(value, now).or_else(|| until_date(value, now))
    };
    let reset =
        || text("x-ratelimit-reset").and_then(|value| wait(value, now).or_else(|| until_date(value, now)));
    // Each of several limits has a reset of its own. Only the one that is used up matters.
    let resets = || {
        let used_up = ["requests", "tokens"].into_iter().filter(|limit| {
            text(&format!("x-ratelimit-remaining-{limit}")).and_then(|left| left.parse().ok()) == Some(0_u64)
        });
        used_up.filter_map(|limit| wait(text(&format!("x-ratelimit-reset-{limit}"))?, now)).max()
    };
    let wait = millis().or_else(standard).or_else(resets).or_else(reset);
    // A time that is over says nothing about when to try again.
    wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// Returns the wait in the fields of an error.
pub(crate) fn from_error(error: &Json) -> Option<Duration> {
    let fields = [error.get("retry_after"), error.get("retryAfter"), error.at(&["metadata", "retry_after"])];
    let millis =
        error.get("retry_after_ms").and_then(Json::as_number).and_then(|millis| seconds(millis / 1e3));
    let headers = error.at(&["metadata", "headers"]).map(Json::fields).unwrap_or_default();
    let header = |name: &str| {
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| from_json(value))
    };
    let found = millis.or_else(|| fields.into_iter().flatten().find_map(from_json));
    let found = found.or_else(|| header("retry-after")).or_else(|| header("x-ratelimit-reset"));
    let found = found.or_else(|| from_words(error.text("message")?));
    found.map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// Returns the wait that a JSON value is: seconds, a time, or a text such as `7.5s`.
pub(crate) fn from_json(value: &Json) -> Option<Duration> {
    match value {
        Json::Number(text) | Json::Text(text) => {
            wait(text.trim(), Timestamp::now()).map(|wait| wait.min(MAX_RETRY_AFTER))
        }
        _ => None,
    }
}

/// Returns the wait in an explanation: "Please try again in 7.66s".
fn from_words(message: &str) -> Option<Duration> {
    let message = message.to_lowercase();
    PHRASES.iter().find_map(|phrase| {
        let (_, rest) = message.split_once(phrase)?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let (time, rest) = rest.split_at_checked(end)?;
        let time = time.trim_end_matches('.');
        let unit = rest.trim_start().get(..1).filter(|unit| ["s", "m"].contains(unit));
        match (time.parse::<f64>(), unit) {
            (Ok(minutes), Some("m")) if !rest.trim_start().starts_with("milli") => seconds(minutes * 60.0),
            (Ok(_), None) => None,
            (Ok(number), Some(_)) => seconds(number),
            (Err(_), _) => spelled(time),
        }
    })
}

/// Returns the wait that a number of seconds, a time since 1970 or a text such as `6m0s` means.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(number) if number >= MIN_EPOCH_MILLIS => until(number, now),
        Ok(number) if number >= MIN_EPOCH_SECONDS => until(number * 1e3, now),
        Ok(number) => seconds(number),
        Err(_) => spelled(text),
    }
}

/// Returns the time to the given milliseconds since 1970.
fn until(millis: f64, now: Timestamp) -> Option<Duration> {
    let millis: i64 = format!("{millis:.0}").parse().ok()?;
    Some(Timestamp(millis).since(now))
}

/// Returns the time to an HTTP date.
fn until_date(text: &str, now: Timestamp) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(date.as_millis()).ok()?).since(now))
}

/// Returns the duration of a text such as `7.5s`, `1m2s` or `20ms`.
fn spelled(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let factor = match unit.trim() {
            "ms" => 1e-3,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            _ => return None,
        };
        total += seconds(number.parse::<f64>().ok()? * factor)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn seconds(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 (UTC).
    const NOW: Timestamp = Timestamp(784_111_777_000);

    fn headers(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let pairs = pairs.iter().map(|(name, value)| {
            (name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap())
        });
        from_headers(&pairs.collect(), NOW)
    }

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn headers_of_every_form_are_read() {
        assert_eq!(headers(&[("retry-after", "7")]), millis(7_000));
        assert_eq!(headers(&[("retry-after", "7.5")]), millis(7_500));
        assert_eq!(headers(&[("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT")]), millis(7_000));
        assert_eq!(headers(&[("retry-after-ms", "250"), ("retry-after", "7")]), millis(250));
        assert_eq!(headers(&[("x-ratelimit-reset", "784111784000")]), millis(7_000));
        assert_eq!(headers(&[("x-ratelimit-reset", "7s")]), millis(7_000));
        assert_eq!(
            headers(&[
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6m0s"),
                ("x-ratelimit-reset-requests", "1s")
            ]),
            millis(360_000)
        );
        assert_eq!(headers(&[("retry-after", "999999")]), Some(MAX_RETRY_AFTER));
        for odd in ["", "soon", "-1", "NaN", "Sun"] {
            assert_eq!(headers(&[("retry-after", odd)]), None, "{odd}");
        }
        assert_eq!(headers(&[]), None);
    }

    #[test]
    fn fields_and_words_of_errors_are_read() {
        let error = |json: &str| from_error(&Json::read_all(json).values[0]);
        assert_eq!(error(r#"{"retry_after":7.5}"#), millis(7_500));
        assert_eq!(error(r#"{"retry_after_ms":"250"}"#), millis(250));
        assert_eq!(error(r#"{"metadata":{"headers":{"X-RateLimit-Reset":"7"}}}"#), millis(7_000));
        for (message, expected) in [
            ("Rate limit reached. Please try again in 7.66s. Visit", millis(7_660)),
            ("Please try again in 1m2.5s.", millis(62_500)),
            ("Please try again in 20ms", millis(20)),
            ("Please retry after 26 seconds.", millis(26_000)),
            ("max request: 3, please try again after 1 seconds", millis(1_000)),
            ("Please wait 2 minutes", millis(120_000)),
            ("Please try again in a while", None),
            ("Please wait 3", None),
        ] {
            assert_eq!(from_words(message), expected, "{message}");
        }
    }
}
