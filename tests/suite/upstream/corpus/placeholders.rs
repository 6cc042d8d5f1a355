//! Times in a file of the corpus, which depend on the time at which it is played.
//!
//! `@{http-date+30}` is the date in 30 s as in HTTP, `@{unix+30}` are the seconds and
//! `@{unix-ms+30}` the milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Replaces all placeholders of a text.
pub(super) fn fill(text: &str) -> Result<String, String> {
    let mut parts = text.split("@{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (placeholder, rest) = part.split_once('}').ok_or_else(|| format!("no end of @{{{part}"))?;
        filled.push_str(&value(placeholder).ok_or_else(|| format!("unknown @{{{placeholder}}}"))?);
        filled.push_str(rest);
    }
    Ok(filled)
}

fn value(placeholder: &str) -> Option<String> {
    let (kind, seconds) = placeholder.split_once('+')?;
    let time = SystemTime::now() + Duration::from_secs(seconds.parse().ok()?);
    let since_1970 = time.duration_since(UNIX_EPOCH).ok()?;
    match kind {
        "http-date" => http_date(time, since_1970),
        "unix" => Some(since_1970.as_secs().to_string()),
        "unix-ms" => Some(since_1970.as_millis().to_string()),
        _ => None,
    }
}

/// Formats a time as in HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: SystemTime, since_1970: Duration) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // The first of January 1970 was a Thursday.
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let iso = humantime::format_rfc3339_seconds(time).to_string();
    let (date, clock) = iso.trim_end_matches('Z').split_once('T')?;
    let mut fields = date.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?.parse::<usize>().ok()?, fields.next()?);
    let weekday = usize::try_from(since_1970.as_secs() / 86_400 % 7).ok()?;
    let (weekday, month) = (WEEKDAYS.get(weekday)?, MONTHS.get(month.checked_sub(1)?)?);
    Some(format!("{weekday}, {day} {month} {year} {clock} GMT"))
}

#[test]
fn placeholders_are_filled_and_others_refused() {
    let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let since_1970 = Duration::from_secs(784_111_777);
    assert_eq!(http_date(time, since_1970).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(fill("a @{unix+0}").map(|text| text.len()), Ok(12));
    assert!(fill("@{colour+1}").is_err() && fill("@{unix+1").is_err());
}
