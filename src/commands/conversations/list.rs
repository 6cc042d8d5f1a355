//! `conversations list`: prints a page of conversations.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::{ConversationFilter, ConversationSummary, Page, Reports};
use serde::Serialize;

use super::super::output::{TableColumn, format_cost, format_table, print, print_json};
use super::super::{CliResult, duration_arg};
use super::{parse_session_id, report_error};

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// Only conversations with activity within this time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = duration_arg::parse)]
    since: Option<Duration>,
    /// The number of conversations per page, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The next page: only conversations that started before this one.
    #[arg(long, value_name = "ID", value_parser = parse_session_id)]
    before: Option<SessionId>,
    /// Only conversations with a question whose answer failed, was interrupted, or is not finished.
    #[arg(long)]
    unanswered: bool,
    /// Also conversations without questions.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct Listing {
    conversations: Vec<ConversationSummary>,
    /// The value of `--before` for the next page, or `None` on the last page.
    next: Option<SessionId>,
}

const COLUMNS: [TableColumn; 7] = [
    TableColumn::left("id"),
    TableColumn::left("started"),
    TableColumn::left("last seen"),
    TableColumn::right("questions"),
    TableColumn::right("unanswered"),
    TableColumn::right("tokens"),
    TableColumn::right("cost"),
];

pub(super) async fn list(arguments: &Arguments, reports: &Reports) -> CliResult {
    let filter = ConversationFilter {
        since: duration_arg::cutoff(arguments.since),
        include_empty: arguments.all,
        unanswered_only: arguments.unanswered,
    };
    let limit = usize::from(arguments.limit);
    let page = Page::Before(arguments.before);
    // One more than the page, to know whether there is a next page.
    let mut conversations =
        reports.conversations(filter, page, limit.saturating_add(1)).await.map_err(report_error)?;
    let has_more = conversations.len() > limit;
    conversations.truncate(limit);
    let next = conversations.last().filter(|_| has_more).map(|last| last.id);
    if arguments.json {
        return print_json(&Listing { conversations, next });
    }
    print(&format_table(COLUMNS, conversations.iter().map(row).collect()))?;
    if let Some(next) = next {
        let _ = writeln!(std::io::stderr(), "For the next page, add --before {next}");
    }
    Ok(())
}

fn row(conversation: &ConversationSummary) -> [String; 7] {
    [
        conversation.id.to_string(),
        conversation.started_at.to_rfc3339(),
        conversation.last_seen_at.to_rfc3339(),
        conversation.questions.to_string(),
        conversation.unanswered.to_string(),
        conversation.prompt_tokens.saturating_add(conversation.completion_tokens).to_string(),
        format_cost(conversation.cost),
    ]
}
