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
#[path = "../../benches/torture/judge/mod.rs"]
mod judge;

mod address_limits;
mod admission;
mod architecture;
mod browser;
mod browser_weather;
mod budget;
mod clocks;
mod compatible_servers;
mod configuration;
mod container;
mod database_away;
mod database_link;
mod degraded;
mod descriptors;
mod documents;
mod examples;
mod exit_codes;
mod exports;
mod foreign_databases;
mod groups;
mod hazards;
mod health;
mod history_and_resume;
mod keys;
mod later_costs;
mod limits;
mod logs;
mod metrics;
mod narrow_budgets;
mod outages;
mod owner_commands;
mod panics;
mod presence;
mod probes;
mod protocol_errors;
mod pruning;
mod question_ids;
mod recovery;
mod regenerating;
mod restarts;
mod resume_formats;
mod retries;
mod rfc6455;
mod safety;
mod shutdown;
mod slow_readers;
mod stopping;
mod stores;
mod streaming;
mod two_servers;
mod upstream_errors;
mod upstream_table;
mod wishes;
