//! The time of day, read in this one place and handed on as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A point in time in milliseconds since 1970 (UTC), as the store and the rate windows keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, description = "A time: RFC 3339 in UTC, with milliseconds.")]
pub struct Timestamp(pub i64);

/// A day in UTC, which has no leap seconds here.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The year 10000, which RFC 3339 cannot write.
const END_OF_CALENDAR: Timestamp = Timestamp(253_402_300_800_000);

impl Timestamp {
    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// This time and `span` more.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(signed_millis(span)))
    }

    /// This time less `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(signed_millis(span)))
    }

    /// How long ago `earlier` was; zero when it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// How much of the day has passed, in UTC.
    #[must_use]
    pub fn time_of_day(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.rem_euclid(signed_millis(DAY))).unwrap_or(0))
    }

    /// RFC 3339 in UTC, to the second; empty for a time that no calendar has.
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

/// On the wire a time is RFC 3339 with milliseconds, in UTC.
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
    fn a_day_begins_at_midnight_in_utc() {
        let past_midnight = Duration::from_millis(80_692_999);
        assert_eq!(Timestamp(1_795_472_692_999).time_of_day(), past_midnight);
        assert_eq!(Timestamp(-1).time_of_day(), DAY - Duration::from_millis(1));
    }

    #[test]
    fn a_time_for_people_is_in_utc_and_to_the_second() {
        assert_eq!(Timestamp(1_795_472_692_999).to_rfc3339(), "2026-11-23T22:24:52Z");
        assert_eq!(Timestamp(-1).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(END_OF_CALENDAR.0 - 1).to_rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(
            (END_OF_CALENDAR.to_rfc3339(), Timestamp(i64::MAX).to_rfc3339()),
            (String::new(), String::new())
        );
    }
}
