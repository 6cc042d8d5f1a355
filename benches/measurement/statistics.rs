//! Statistics over repeated measurements.

use std::cmp::Ordering;
use std::time::Duration;

/// Returns the median of `values`, which must not be empty.
#[allow(dead_code, reason = "each benchmark uses some of these")]
pub(crate) fn median<T: Copy>(mut values: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> T {
    values.sort_by(compare);
    values[values.len() / 2]
}

/// Returns a percentile of sorted durations, or zero if there are none.
#[allow(dead_code, reason = "each benchmark uses some of these")]
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}
