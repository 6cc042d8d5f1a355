//! `completions`: what a shell needs to complete these commands.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::output::print;
use super::{CommandLine, Failed, Outcome};

/// How the generator for bash names the states within a program whose name has a hyphen, and how it looks them up
/// (clap-rs/clap#6421): without this, nothing is completed after the first word.
const MISNAMED_STATES: (&str, &str) = ("resume__subcmd__chatbot", "resume__chatbot");

pub(super) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "resume-chatbot", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failed(1, error.to_string()))?;
    let (wrong, right) = MISNAMED_STATES;
    print(&script.replace(wrong, right))
}
