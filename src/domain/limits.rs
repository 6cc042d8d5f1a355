//! Bounds that several layers share.

use std::time::Duration;

/// The maximum number of exchanges (a question with its answer) of a session that are kept in
/// memory, and that are read from the store when the session is resumed.
pub const MAX_EXCHANGES: usize = 100;

/// The span of the rate limit of a session.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);
