//! A lock-free histogram of durations that takes a few nanoseconds per observation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The number of buckets with a finite bound.
const BOUNDS: usize = 14;

/// The first bound is 2^10 nanoseconds, about a microsecond. Each further bound is four times the
/// previous one; the last is about 69 seconds. With powers of two, a bucket is found from the
/// number of leading zeros.
const FIRST_EXPONENT: u32 = 10;

/// A histogram with buckets that grow by a factor of four.
#[derive(Debug, Default)]
pub struct LogHistogram {
    buckets: [AtomicU64; BOUNDS + 1],
    /// The sum of all durations in nanoseconds.
    sum: AtomicU64,
}

/// The content of a histogram at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The upper bound of each bucket in seconds, and the count of that bucket alone.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all durations in seconds.
    pub sum: f64,
    pub count: u64,
}

impl LogHistogram {
    /// Adds a duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // The bit length of `nanos - 1`, so that a duration equal to a bound belongs to the bucket
        // below it.
        let bits = u64::BITS - nanos.saturating_sub(1).leading_zeros();
        let index = usize::try_from(bits.saturating_sub(FIRST_EXPONENT).div_ceil(2)).unwrap_or(BOUNDS);
        if let Some(bucket) = self.buckets.get(index.min(BOUNDS)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Returns the current content.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds().chain([f64::MAX]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.sum.load(Ordering::Relaxed)).as_secs_f64();
        Snapshot { buckets, sum, count }
    }
}

/// Returns the finite upper bounds in seconds.
fn bounds() -> impl Iterator<Item = f64> {
    (0..BOUNDS).map(|index| {
        let exponent = FIRST_EXPONENT + 2 * u32::try_from(index).unwrap_or(0);
        Duration::from_nanos(1 << exponent).as_secs_f64()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn durations_are_counted_in_the_lowest_bucket_that_contains_them(nanos in 0u64..200_000_000_000) {
            let histogram = LogHistogram::default();
            let duration = Duration::from_nanos(nanos);
            histogram.record(duration);
            let Snapshot { buckets, sum, count } = histogram.snapshot();
            let actual = buckets.iter().position(|(_, count)| *count == 1).unwrap();
            let expected = buckets.iter().position(|(bound, _)| duration.as_secs_f64() <= *bound).unwrap();
            prop_assert_eq!(actual, expected);
            prop_assert_eq!((count, sum), (1, duration.as_secs_f64()));
        }
    }

    #[test]
    fn upper_bounds_are_inclusive() {
        let histogram = LogHistogram::default();
        for nanos in [0, 1024, 1025, 4096, 4097] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let counts: Vec<u64> = histogram.snapshot().buckets.iter().take(4).map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 2, 1, 0]);
    }
}
