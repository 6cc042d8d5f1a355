//! The server under test: configuration, process, commands, fail points and metrics.

pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod failpoints;
pub(crate) mod metrics_scrape;
pub(crate) mod process;
pub(crate) mod test_server;
