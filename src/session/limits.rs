//! The limits and timeouts of a session.

use std::time::Duration;

use crate::llm::upstream::server::window::TokenLimits;

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// The configured limits on tokens. The context window of the model may be smaller.
    pub tokens: TokenLimits,
}

/// The timeouts of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimeouts {
    /// How long a session can be resumed after it was used last.
    pub ttl: Duration,
    /// How long a connection stays open without a question.
    pub idle_timeout: Duration,
    /// How often an inactive client is pinged.
    pub heartbeat_interval: Duration,
    /// How long a client may take to send its first frame.
    pub first_frame_timeout: Duration,
    /// How long a message may take from its first byte to its last.
    pub message_timeout: Duration,
}
