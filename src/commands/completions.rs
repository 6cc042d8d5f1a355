//! `completions`: prints a completion script for a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::output::print;
use super::{CliError, CliResult, CommandLine};

/// A state name that clap_complete generates wrongly for bash if the name of the program has a
/// hyphen, and the name that the script looks up (clap-rs/clap#6421). Without the replacement, bash
/// completes only the first word.
const WRONG_STATE: &str = "resume__subcmd__chatbot";
const RIGHT_STATE: &str = "resume__chatbot";

pub(super) fn completions(shell: Shell) -> CliResult {
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "resume-chatbot", &mut script);
    let script = String::from_utf8(script).map_err(CliError::failure)?;
    print(&script.replace(WRONG_STATE, RIGHT_STATE))
}
