//! `conversations`: lists, shows, exports and deletes conversations.

mod delete;
mod export;
mod export_writer;
mod json;
mod list;
mod markdown;
mod show;

use std::path::Path;

use clap::Subcommand;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::ReportError;

use super::{CliError, CliResult, with_reports};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List conversations, newest first, without questions and answers.
    List(list::Arguments),
    /// Show the questions and answers of a conversation.
    Show(show::Arguments),
    /// Export conversations with their questions and answers, oldest first.
    Export(export::Arguments),
    /// Delete conversations with their questions and answers.
    Delete(delete::Arguments),
}

pub(super) fn run(command: Command, config: Option<&Path>) -> CliResult {
    match command {
        Command::List(arguments) => {
            with_reports(config, async |reports| list::list(&arguments, reports).await)
        }
        Command::Show(arguments) => {
            with_reports(config, async |reports| show::show(&arguments, reports).await)
        }
        Command::Export(arguments) => {
            with_reports(config, async |reports| export::export(&arguments, reports).await)
        }
        Command::Delete(arguments) => {
            with_reports(config, async |reports| delete::delete(&arguments, reports).await)
        }
    }
}

fn parse_session_id(text: &str) -> Result<SessionId, String> {
    let id = text.parse().map_err(|_| "not the id of a conversation; `conversations list` prints the ids")?;
    Ok(SessionId(id))
}

fn not_found(id: SessionId) -> CliError {
    CliError::failure(format!("there is no conversation {id}; `conversations list --all` prints all ids"))
}

pub(super) fn report_error(error: ReportError) -> CliError {
    CliError::failure(error)
}
