//! The limit on the rate of client frames. A plain value.

use std::time::{Duration, Instant};

/// The maximum burst of frames. Larger than any conversation needs, and small enough not to delay
/// other connections.
const FRAME_BURST: u32 = 1_000;

/// The time after which one more frame is allowed, which makes 100 per second.
const FRAME_INTERVAL: Duration = Duration::from_millis(10);

/// The frames that a client may still send.
#[derive(Debug)]
pub struct FrameRate {
    frames_left: u32,
    /// When frames were last added to `frames_left`.
    refilled_at: Instant,
}

impl FrameRate {
    /// Returns the rate of a new connection.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { frames_left: FRAME_BURST, refilled_at: now }
    }

    /// Counts a frame. Returns false if it exceeds the limit.
    #[must_use]
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let refill = elapsed.as_millis() / FRAME_INTERVAL.as_millis();
        let refill = u32::try_from(refill).unwrap_or(FRAME_BURST).min(FRAME_BURST);
        if refill > 0 {
            self.frames_left = self.frames_left.saturating_add(refill).min(FRAME_BURST);
            self.refilled_at = now;
        }
        let is_allowed = self.frames_left > 0;
        self.frames_left = self.frames_left.saturating_sub(1);
        is_allowed
    }
}
