//! The statements by subject, each written once for both databases.

pub(crate) mod budget;
pub(crate) mod feedback;
pub(crate) mod pending_costs;
pub(crate) mod questions;
pub(crate) mod session_epochs;
pub(crate) mod sessions;
pub(crate) mod transcript;
pub(crate) mod turns;
