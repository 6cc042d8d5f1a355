//! Programs outside of the project: browser, validators, and the documented examples.

pub(crate) mod document_examples;
pub(crate) mod external_tools;
pub(crate) mod nginx;
pub(crate) mod webdriver;
