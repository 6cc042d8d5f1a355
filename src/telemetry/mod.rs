//! Logging, metrics, and the request ids that connect log lines with a request.
//!
//! Nothing here depends on another module of the crate except `domain`.

pub mod histogram;
pub mod logger;
pub mod mailbox_metrics;
pub mod metrics;
pub mod request_id;
