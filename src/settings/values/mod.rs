//! The kinds of value that a setting may hold, each with its parser; errors complete "<name> …".

pub(super) mod address;
pub(super) mod api_key;
pub(super) mod base_url;
pub(super) mod database_url;
pub(super) mod dollars;
pub(super) mod duration;
pub(super) mod log_levels;
pub(super) mod resume_path;
pub(super) mod web_origin;
