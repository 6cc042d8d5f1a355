//! `conversations`: what visitors asked, listed, shown, exported, deleted.

mod delete;
mod export;
mod json;
mod list;
mod markdown;
mod show;

use std::path::Path;

use clap::Subcommand;
use resume_chatbot::ids::SessionId;
use resume_chatbot::persistence::reports::ReportError;

use super::{Failed, Outcome, with_reports};

/// Turns read at one time: enough that the way to the database is not what counts, few enough for memory.
const TURNS_AT_ONCE: usize = 50;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List conversations, the newest first, without their words.
    List(list::Arguments),
    /// Show what was said in one conversation.
    Show(show::Arguments),
    /// Write out conversations with all that was said, the oldest first.
    Export(export::Arguments),
    /// Delete conversations with all that was said.
    Delete(delete::Arguments),
}

pub(super) fn run(command: Command, config: Option<&Path>) -> Outcome {
    match command {
        Command::List(arguments) => with_reports(config, async |it| list::list(&arguments, it).await),
        Command::Show(arguments) => with_reports(config, async |it| show::show(&arguments, it).await),
        Command::Export(arguments) => with_reports(config, async |it| export::export(&arguments, it).await),
        Command::Delete(arguments) => with_reports(config, async |it| delete::delete(&arguments, it).await),
    }
}

/// Reads an id as `list` prints it.
fn session_id(text: &str) -> Result<SessionId, String> {
    let id =
        text.parse().map_err(|_| "it is not the id of a conversation; `conversations list` prints them")?;
    Ok(SessionId(id))
}

fn unknown(id: SessionId) -> Failed {
    Failed(1, format!("there is no conversation {id}; `conversations list --all` prints them"))
}

/// What a report that could not be made fails a command with.
pub(super) fn failed(error: ReportError) -> Failed {
    Failed(1, error.to_string())
}
