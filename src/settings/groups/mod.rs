//! The declarations of all settings, one file per concern.

pub(super) mod budget;
pub(super) mod database;
pub(super) mod http;
pub(super) mod limits;
pub(super) mod llm;
pub(super) mod log;
pub(super) mod page;
pub(super) mod process;
pub(super) mod resume;
pub(super) mod session;
pub(super) mod tokens;
