//! What the operator can see: the log, and the ids that tie its lines to a request.

pub mod logger;
pub mod request_id;
