//! The process and its runtime: panics, backoff, instance id, limit of open files, failpoints.

pub mod backoff;
pub mod failpoints;
pub mod fd_limit;
pub mod instance_id;
pub mod panics;
