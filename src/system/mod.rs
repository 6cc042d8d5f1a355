//! The process and its operating system: instance id, limit of open files, failpoints.

pub mod backoff;
pub mod failpoints;
pub mod fd_limit;
pub mod instance_id;
