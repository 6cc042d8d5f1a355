//! Databases for tests, and direct access to them.

pub(crate) mod fresh_store;
pub(crate) mod sql;
