//! The timeout of requests to the store.

use std::time::Duration;

/// How long callers wait for a reply of the store before they continue without it.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(2);
