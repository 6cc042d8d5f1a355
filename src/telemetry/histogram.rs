//! A histogram of durations that costs a few nanoseconds to write to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds beside the last, which is infinity.
const BOUNDS: usize = 14;

/// The first bound is 2^10 nanoseconds, about a microsecond; each further one is four times as much, the last about
/// 69 seconds. Powers of two, so that a bucket is found from the number of leading zeros.
const FIRST_EXPONENT: u32 = 10;

/// Durations in buckets that grow by a factor of four.
#[derive(Debug, Default)]
pub struct LogHistogram {
    buckets: [AtomicU64; BOUNDS + 1],
    /// Nanoseconds in all.
    sum: AtomicU64,
}

/// What a histogram held at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The upper bound of each bucket in seconds, and what is in it alone.
    pub buckets: Vec<(f64, u64)>,
    /// Seconds in all.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl LogHistogram {
    /// Adds a duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // The bits of `nanos - 1`, so that a bound itself belongs below it.
        let bits = u64::BITS - nanos.saturating_sub(1).leading_zeros();
        let index = usize::try_from(bits.saturating_sub(FIRST_EXPONENT).div_ceil(2)).unwrap_or(BOUNDS);
        if let Some(bucket) = self.buckets.get(index.min(BOUNDS)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How many durations were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// What it holds.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds().chain([f64::MAX]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.sum.load(Ordering::Relaxed)).as_secs_f64();
        Snapshot { buckets, sum, count }
    }
}

/// The upper bounds in seconds, but for the last.
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
        fn a_duration_is_counted_under_the_lowest_bound_that_holds_it(nanos in 0u64..200_000_000_000) {
            let histogram = LogHistogram::default();
            let duration = Duration::from_nanos(nanos);
            histogram.record(duration);
            let Snapshot { buckets, sum, count } = histogram.snapshot();
            let found = buckets.iter().position(|(_, count)| *count == 1).unwrap();
            let wanted = buckets.iter().position(|(bound, _)| duration.as_secs_f64() <= *bound).unwrap();
            prop_assert_eq!(found, wanted);
            prop_assert_eq!((count, sum), (1, duration.as_secs_f64()));
        }
    }

    #[test]
    fn a_bound_belongs_below_it() {
        let histogram = LogHistogram::default();
        for nanos in [0, 1024, 1025, 4096, 4097] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let counts: Vec<u64> = histogram.snapshot().buckets.iter().take(4).map(|it| it.1).collect();
        assert_eq!(counts, [2, 2, 1, 0]);
    }
}
