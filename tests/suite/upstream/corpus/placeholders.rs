//! Times in a file of the corpus, which depend on the time at which it is played.
//!
//! `@{http-date+30}` is the date in 30 s as in HTTP, `@{unix+30}` are the seconds and
//! `@{unix-ms+30}` the milliseconds since 1970.

use std::time::{Duration, UNIX_EPOCH};

use resume_chatbot::domain::clock::Timestamp;

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
    let since_1970 = Duration::from_millis(u64::try_from(Timestamp::now().0).ok()?);
    let time = since_1970 + Duration::from_secs(seconds.parse().ok()?);
    match kind {
        "http-date" => Some(httpdate::fmt_http_date(UNIX_EPOCH + time)),
        "unix" => Some(time.as_secs().to_string()),
        "unix-ms" => Some(time.as_millis().to_string()),
        _ => None,
    }
}

#[test]
fn placeholders_are_filled_and_others_refused() {
    assert_eq!(fill("a @{unix+0}").map(|text| text.len()), Ok(12));
    assert!(fill("@{colour+1}").is_err() && fill("@{unix+1").is_err());
}
