//! How often a part may panic before something must be wrong with the whole.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Panics within [`WINDOW`] after which a part is simply made anew. One bad input costs one; a fault that comes back at
/// every turn reaches this at once.
pub const MOST_RESTARTS: usize = 5;

/// How long a panic counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What is to be done after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make it anew.
    Restart,
    /// Make it anew, so that the process can leave in order, which it must.
    RestartToLeave,
    /// Leave it: it panics faster than anything can be done with it.
    Stop,
}

/// The panics of one part that still count.
#[derive(Debug, Default)]
pub struct RestartLimit {
    recent: VecDeque<Instant>,
}

impl RestartLimit {
    /// The part has panicked now.
    pub fn panicked(&mut self, now: Instant) -> Verdict {
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        match self.recent.len() {
            ..=MOST_RESTARTS => Verdict::Restart,
            count if count <= MOST_RESTARTS * 2 => Verdict::RestartToLeave,
            _ => Verdict::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_in_a_short_time_are_the_end_of_the_process() {
        let (mut limit, start) = (RestartLimit::default(), Instant::now());
        let verdicts: Vec<Verdict> = (0..11).map(|_| limit.panicked(start)).collect();
        assert_eq!(verdicts[..5], [Verdict::Restart; 5]);
        assert_eq!(verdicts[5..10], [Verdict::RestartToLeave; 5]);
        assert_eq!(verdicts[10], Verdict::Stop);
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let (mut limit, start) = (RestartLimit::default(), Instant::now());
        let apart = WINDOW / 5;
        assert!((0..100).all(|times| limit.panicked(start + apart * times) == Verdict::Restart));
        let faster = WINDOW / 6;
        let start = start + WINDOW * 60;
        let verdicts: Vec<Verdict> = (0..6).map(|times| limit.panicked(start + faster * times)).collect();
        assert_eq!((verdicts[4], verdicts[5]), (Verdict::Restart, Verdict::RestartToLeave));
    }
}
