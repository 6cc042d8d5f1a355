//! The commands of the binary: settings, exit codes, reports, deletion and export.

mod commands;
mod configuration;
mod exit_codes;
mod export;
mod healthcheck_and_completions;
