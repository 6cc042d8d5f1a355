//! Parsers for single values. Their errors complete a sentence that begins with the setting's name.

pub(super) mod address;
pub(super) mod api_key;
pub(super) mod base_url;
pub(super) mod database_url;
pub(super) mod dialect;
pub(super) mod dollars;
pub(super) mod duration;
pub(super) mod host_name;
pub(super) mod language;
pub(super) mod log_levels;
pub(super) mod public_url;
pub(super) mod resume_path;
pub(super) mod web_origin;
pub(super) mod web_url;
