//! Exponential backoff with jitter.

use std::time::Duration;

/// An exponential backoff: each delay is twice the one before it, up to a maximum.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// Returns a backoff without jitter, whose first delay is `base`.
    #[must_use]
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, jitter: 0.0 }
    }

    /// Shortens each delay at random by up to the fraction `jitter`, from 0 to 1, so that clients
    /// that failed together do not retry together.
    #[must_use]
    pub const fn with_jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// Returns the delay that follows `attempt` earlier delays. `random`, from 0 to 1, chooses the
    /// jitter: 1 returns the full delay, 0 the shortest one.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.max);
        full.mul_f64(1.0 - self.jitter * (1.0 - random.clamp(0.0, 1.0)))
    }

    /// Returns the delay that follows `previous`, without jitter.
    #[must_use]
    pub fn delay_after(&self, previous: Duration) -> Duration {
        previous.saturating_mul(2).min(self.max)
    }
}

/// Returns a random number from 0 to 1, or 0.5 if the system's random number generator fails.
#[must_use]
pub fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
        let delays = [0, 1, 4, 5, 31, 32, u32::MAX].map(|attempt| backoff.delay(attempt, 0.0).as_secs());
        assert_eq!(delays, [2, 4, 32, 60, 60, 60, 60]);
        assert_eq!(backoff.delay_after(Duration::from_secs(20)), Duration::from_secs(40));
        assert_eq!(backoff.delay_after(Duration::MAX), Duration::from_secs(60));
    }

    #[test]
    fn jitter_shortens_a_delay_by_at_most_its_fraction() {
        let backoff = Backoff::new(Duration::from_secs(8), Duration::from_secs(60)).with_jitter(0.25);
        let delays = [-1.0, 0.0, 0.5, 1.0, 2.0].map(|random| backoff.delay(0, random).as_secs());
        assert_eq!(delays, [6, 6, 7, 8, 8]);
        assert!((0.0..=1.0).contains(&random_fraction()));
    }
}
