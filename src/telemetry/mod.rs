//! What the operator can see: the log, the metrics, and the ids that tie lines of the log to a request.

pub mod histogram;
pub mod logger;
pub mod mailbox_metrics;
pub mod metrics;
pub mod request_id;
