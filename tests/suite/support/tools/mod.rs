//! Programs outside of the project: browsers, validators, and the documented examples.

pub(crate) mod browser;
pub(crate) mod document_examples;
pub(crate) mod external_tools;
pub(crate) mod nginx;
