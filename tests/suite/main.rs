//! The black-box test suite: the real binary, real sockets, real databases, and a scripted model
//! server.
//!
//! All tests are in one binary, because linking dominates the build time of test binaries. Run it
//! with `tests/run`.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed expectation should fail the test"
)]

#[allow(dead_code, reason = "support code that not every binary uses in full")]
mod support;

#[allow(dead_code, reason = "the suite runs the unit tests of the oracle; `tests/torture` uses it")]
#[path = "../../benches/torture/oracle/mod.rs"]
mod oracle;

mod architecture;
mod browser;
mod budgets;
mod cli;
mod client_package;
mod documentation;
mod embedding;
mod event_stream;
mod http;
mod limits;
mod operations;
mod prompt;
mod protocol;
mod recovery;
mod stores;
mod upstream;
