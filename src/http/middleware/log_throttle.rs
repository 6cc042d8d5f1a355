//! Limits how often a line is logged that clients can provoke.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// The minimum time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Allows one line per minute.
#[derive(Debug, Default)]
pub struct LogThrottle {
    /// When the next line is allowed, in milliseconds since the Unix epoch.
    allowed_from: AtomicI64,
}

impl LogThrottle {
    /// Returns whether a line may be logged now.
    pub(in crate::http) fn allows_line(&self, now: Timestamp) -> bool {
        let next = now.plus(INTERVAL).0;
        self.allowed_from
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |from| (now.0 >= from).then_some(next))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_minute_is_allowed() {
        let throttle = LogThrottle::default();
        let start = Timestamp(1_000);
        assert!(throttle.allows_line(start));
        assert!(!throttle.allows_line(start.plus(INTERVAL / 2)));
        assert!(throttle.allows_line(start.plus(INTERVAL)));
        assert!(!throttle.allows_line(start.plus(INTERVAL)));
    }
}
