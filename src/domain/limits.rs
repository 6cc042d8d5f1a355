//! Bounds that several layers share.

use std::time::Duration;

/// The most exchanges (a question with its answer) of a session that are kept in memory and read when it is resumed.
pub const MAX_EXCHANGES: usize = 100;

/// The window of a session's rate limit.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);
