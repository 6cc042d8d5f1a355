//! The limits and timeouts of a session.

use std::time::Duration;

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// Tokens of a prompt and its answer together.
    pub max_context_tokens: u32,
    /// Tokens of an answer.
    pub max_response_tokens: u32,
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
