//! `conversations delete`: deletes conversations after a confirmation.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::Reports;
use serde::Serialize;

use super::super::output::{format_count, print, print_json};
use super::super::{CliError, CliResult, EXIT_USAGE, duration_arg};
use super::{not_found, parse_session_id, report_error};

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// The ids of the conversations, as `list` prints them.
    #[arg(value_name = "ID", value_parser = parse_session_id, required_unless_present = "older_than")]
    ids: Vec<SessionId>,
    /// Instead of ids: all conversations without activity for this time (30d, 12w).
    #[arg(long, value_name = "DUR", value_parser = duration_arg::parse, conflicts_with = "ids")]
    older_than: Option<Duration>,
    /// Only print what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be deleted, and the JSON output.
#[derive(Serialize)]
struct Deletion {
    conversations: i64,
    questions: i64,
    dry_run: bool,
}

pub(super) async fn delete(arguments: &Arguments, reports: &Reports) -> CliResult {
    // Computed once, so that exactly the counted conversations are deleted, even if the
    // confirmation takes long.
    let unseen_since = arguments.older_than.map(|age| duration_arg::cutoff(Some(age)));
    let ids: Vec<SessionId> = arguments.ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let (conversations, questions) = match unseen_since {
        Some(before) => {
            let unseen = reports.count_unseen_since(before).await.map_err(report_error)?;
            (unseen.conversations, unseen.questions)
        }
        None => count(reports, &ids).await?,
    };
    let mut deletion = Deletion { conversations, questions, dry_run: arguments.dry_run };
    if arguments.dry_run {
        return print_result(&deletion, arguments.json, "would be deleted");
    }
    if deletion.conversations > 0 && !arguments.yes {
        confirm(&deletion)?;
    }
    let deleted = match unseen_since {
        Some(before) => reports.delete_unseen_since(before).await,
        None => reports.delete(&ids).await,
    };
    deletion.conversations = i64::try_from(deleted.map_err(report_error)?).unwrap_or(i64::MAX);
    print_result(&deletion, arguments.json, "deleted")
}

/// Counts conversations and their questions. Fails if a conversation does not exist. Its id is
/// probably a mistake, so nothing should be deleted.
async fn count(reports: &Reports, ids: &[SessionId]) -> CliResult<(i64, i64)> {
    let (mut conversations, mut questions) = (0, 0);
    for id in ids {
        let conversation = reports.conversation(*id).await.map_err(report_error)?;
        conversations += 1;
        questions += conversation.ok_or_else(|| not_found(*id))?.questions;
    }
    Ok((conversations, questions))
}

fn confirm(deletion: &Deletion) -> CliResult {
    let not_confirmed = |message: &str| Err(CliError::new(EXIT_USAGE, message));
    if !io::stdin().is_terminal() {
        return not_confirmed(
            "nothing was deleted: there is no terminal for the confirmation; add --yes, or first --dry-run",
        );
    }
    let _ = write!(io::stderr(), "Delete {}? This cannot be undone. [y/N] ", deletion.description());
    let mut reply = String::new();
    let read = io::stdin().lock().read_line(&mut reply);
    if read.is_ok() && matches!(reply.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        not_confirmed("nothing was deleted")
    }
}

fn print_result(deletion: &Deletion, json: bool, verb: &str) -> CliResult {
    if json { print_json(deletion) } else { print(&format!("{} {verb}\n", deletion.description())) }
}

impl Deletion {
    fn description(&self) -> String {
        let conversations = format_count(self.conversations, "conversation");
        format!("{conversations} with {}", format_count(self.questions, "question"))
    }
}
