//! `conversations delete`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::Reports;
use serde::Serialize;

use super::super::page::{print, print_json};
use super::super::{Failed, Outcome, span};
use super::{failed, session_id, unknown};

/// Exit code of a command line that was not understood: what would be deleted was not confirmed.
const NOT_CONFIRMED: u8 = 2;

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// The conversations, as `list` prints them.
    #[arg(value_name = "ID", value_parser = session_id, required_unless_present = "older_than")]
    ids: Vec<SessionId>,
    /// Instead: all conversations in which nothing happened for this time (30d, 12w).
    #[arg(long, value_name = "DUR", value_parser = span::parse, conflicts_with = "ids")]
    older_than: Option<Duration>,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask first.
    #[arg(long, short)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was, or would be, deleted.
#[derive(Serialize)]
struct Deletion {
    conversations: i64,
    questions: i64,
    dry_run: bool,
}

pub(super) async fn delete(arguments: &Arguments, reports: &Reports) -> Outcome {
    // The time is taken once, so that what was counted is what is deleted, however long the answer takes.
    let unseen_since = arguments.older_than.map(|span| span::ago(Some(span)));
    let ids: Vec<SessionId> = arguments.ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let (conversations, questions) = match unseen_since {
        Some(before) => {
            let unseen = reports.count_unseen_since(before).await.map_err(failed)?;
            (unseen.conversations, unseen.questions)
        }
        None => count(reports, &ids).await?,
    };
    let mut deletion = Deletion { conversations, questions, dry_run: arguments.dry_run };
    if arguments.dry_run {
        return tell(&deletion, arguments.json, "would be deleted");
    }
    if deletion.conversations > 0 && !arguments.yes {
        confirm(&deletion)?;
    }
    let deleted = match unseen_since {
        Some(before) => reports.delete_unseen_since(before).await,
        None => reports.delete(&ids).await,
    };
    deletion.conversations = i64::try_from(deleted.map_err(failed)?).unwrap_or(i64::MAX);
    tell(&deletion, arguments.json, "deleted")
}

/// All of them must be there before any goes: a wrong id is more likely a slip than a conversation that is gone.
async fn count(reports: &Reports, ids: &[SessionId]) -> Result<(i64, i64), Failed> {
    let (mut conversations, mut questions) = (0, 0);
    for id in ids {
        let found = reports.conversation(*id).await.map_err(failed)?.ok_or_else(|| unknown(*id))?;
        conversations += 1;
        questions += found.questions;
    }
    Ok((conversations, questions))
}

fn confirm(deletion: &Deletion) -> Outcome {
    let refused = |message: &str| Err(Failed(NOT_CONFIRMED, message.to_owned()));
    if !io::stdin().is_terminal() {
        return refused(
            "nothing was deleted: there is no terminal to ask at; add --yes, or --dry-run to look first",
        );
    }
    let _ = write!(io::stderr(), "Delete {}? There is no way back. [y/N] ", deletion.words());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        refused("nothing was deleted")
    }
}

fn tell(deletion: &Deletion, json: bool, done: &str) -> Outcome {
    if json { print_json(deletion) } else { print(&format!("{} {done}\n", deletion.words())) }
}

impl Deletion {
    fn words(&self) -> String {
        let counted = |count: i64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let (conversations, questions) = (self.conversations, self.questions);
        format!("{} with {}", counted(conversations, "conversation"), counted(questions, "question"))
    }
}
