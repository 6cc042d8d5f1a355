//! Limits how often a component may be restarted after panics.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The panics within [`WINDOW`] up to which a component is just restarted. A single bad input
/// causes one panic; a bug that affects every request reaches this limit at once.
pub const MAX_RESTARTS: usize = 5;

/// How long a panic counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What to do after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartDecision {
    /// Restart the component.
    Restart,
    /// Restart the component, so that the process can shut down in order, and shut down.
    RestartAndShutDown,
    /// Do not restart the component: it panics too fast even for a shutdown.
    Stop,
}

/// The recent panics of one component.
#[derive(Debug, Default)]
pub struct RestartLimit {
    recent: VecDeque<Instant>,
}

impl RestartLimit {
    /// Counts a panic at `now` and decides what to do.
    pub fn record_panic(&mut self, now: Instant) -> RestartDecision {
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        match self.recent.len() {
            ..=MAX_RESTARTS => RestartDecision::Restart,
            count if count <= MAX_RESTARTS * 2 => RestartDecision::RestartAndShutDown,
            _ => RestartDecision::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_panics_in_a_short_time_end_the_process() {
        let (mut limit, start) = (RestartLimit::default(), Instant::now());
        let decisions: Vec<RestartDecision> = (0..11).map(|_| limit.record_panic(start)).collect();
        assert_eq!(decisions[..5], [RestartDecision::Restart; 5]);
        assert_eq!(decisions[5..10], [RestartDecision::RestartAndShutDown; 5]);
        assert_eq!(decisions[10], RestartDecision::Stop);
    }

    #[test]
    fn old_panics_do_not_count() {
        let (mut limit, start) = (RestartLimit::default(), Instant::now());
        let apart = WINDOW / 5;
        assert!((0..100).all(|count| limit.record_panic(start + apart * count) == RestartDecision::Restart));
        let faster = WINDOW / 6;
        let start = start + WINDOW * 60;
        let decisions: Vec<RestartDecision> =
            (0..6).map(|count| limit.record_panic(start + faster * count)).collect();
        assert_eq!(
            (decisions[4], decisions[5]),
            (RestartDecision::Restart, RestartDecision::RestartAndShutDown)
        );
    }
}
