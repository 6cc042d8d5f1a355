//! The wall clock. It is read only here; other code receives the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A point in time in milliseconds since the Unix epoch (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, description = "A time: RFC 3339 in UTC, with milliseconds.")]
pub struct Timestamp(pub i64);

/// The length of a day, without leap seconds.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The start of the year 10000, which RFC 3339 cannot represent.
const END_OF_CALENDAR: Timestamp = Timestamp(253_402_300_800_000);

impl Timestamp {
    /// Returns the current time.
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads the wall clock")]
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the time that is `span` later, saturating at the largest timestamp.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(signed_millis(span)))
    }

    /// Returns the time that is `span` earlier, saturating at the smallest timestamp.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(signed_millis(span)))
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the time elapsed since midnight (UTC).
    #[must_use]
    pub fn time_of_day(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.rem_euclid(signed_millis(DAY))).unwrap_or(0))
    }

    /// Formats the time as RFC 3339 in UTC, to the second. Returns an empty string for years
    /// after 9999.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let since = Duration::from_millis(u64::try_from(self.0).unwrap_or(0));
        let at = UNIX_EPOCH.checked_add(since).filter(|_| self < END_OF_CALENDAR);
        at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
    }
}

/// Returns the whole milliseconds of a duration, saturating at `u64::MAX`.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed_millis(duration: Duration) -> i64 {
    i64::try_from(millis(duration)).unwrap_or(i64::MAX)
}

/// Serializes the time as RFC 3339 in UTC, with milliseconds.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let since = Duration::from_millis(u64::try_from(self.0).unwrap_or(0));
        let text = UNIX_EPOCH.checked_add(since).map(humantime::format_rfc3339_millis);
        match text {
            Some(text) => serializer.collect_str(&text),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_counts_from_midnight_in_utc() {
        let past_midnight = Duration::from_millis(80_692_999);
        assert_eq!(Timestamp(1_795_472_692_999).time_of_day(), past_midnight);
        assert_eq!(Timestamp(-1).time_of_day(), DAY - Duration::from_millis(1));
    }

    #[test]
    fn rfc3339_is_in_utc_and_to_the_second() {
        assert_eq!(Timestamp(1_795_472_692_999).to_rfc3339(), "2026-11-23T22:24:52Z");
        assert_eq!(Timestamp(-1).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(END_OF_CALENDAR.0 - 1).to_rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(
            (END_OF_CALENDAR.to_rfc3339(), Timestamp(i64::MAX).to_rfc3339()),
            (String::new(), String::new())
        );
    }
}
