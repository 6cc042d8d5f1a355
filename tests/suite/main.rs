//! The black-box suite: the real binary, real sockets, real databases, and a model's server that misbehaves on script.
//!
//! One binary for all of it, because linking is most of a test binary's cost. `tests/run` is the one command.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what is not there ends the test, which is what it is for"
)]

#[allow(dead_code, reason = "a vocabulary: not every word is used by every version of the suite")]
mod support;

#[allow(dead_code, reason = "the suite runs the tests of the rules; `tests/torture` judges by them")]
#[path = "../../benches/torture/oracle/mod.rs"]
mod oracle;

mod architecture;
mod browser;
mod budgets;
mod cli;
mod limits;
mod operations;
mod prompt;
mod protocol;
mod recovery;
mod stores;
mod upstream;
