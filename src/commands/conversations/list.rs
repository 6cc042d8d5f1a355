//! `conversations list`.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::{ConversationSummary, Page, Reports, Selection};
use serde::Serialize;

use super::super::page::{Align, money, print, print_json, table};
use super::super::{Outcome, span};
use super::{failed, session_id};

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// Only conversations in which something happened in this last time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = span::parse)]
    since: Option<Duration>,
    /// The most conversations on the page, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The next page: only conversations begun before this one.
    #[arg(long, value_name = "ID", value_parser = session_id)]
    before: Option<SessionId>,
    /// Only conversations with a question whose answer failed, was cut off, or has not ended.
    #[arg(long)]
    unanswered: bool,
    /// Also conversations in which nothing was asked.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The page as JSON.
#[derive(Serialize)]
struct Listing {
    conversations: Vec<ConversationSummary>,
    /// What `--before` is to be for the next page, if there is one.
    next: Option<SessionId>,
}

pub(super) async fn list(arguments: &Arguments, reports: &Reports) -> Outcome {
    let selection = Selection {
        since: span::ago(arguments.since),
        include_empty: arguments.all,
        unanswered_only: arguments.unanswered,
    };
    let limit = usize::from(arguments.limit);
    let page = Page::Before(arguments.before);
    let mut conversations =
        reports.conversations(selection, page, limit.saturating_add(1)).await.map_err(failed)?;
    let more = conversations.len() > limit;
    conversations.truncate(limit);
    let next = conversations.last().filter(|_| more).map(|last| last.id);
    if arguments.json {
        return print_json(&Listing { conversations, next });
    }
    print(&table(HEADING, conversations.iter().map(row).collect()))?;
    if let Some(next) = next {
        let _ = writeln!(std::io::stderr(), "There are more: add --before {next}");
    }
    Ok(())
}

const HEADING: [(&str, Align); 7] = [
    ("id", Align::Left),
    ("started", Align::Left),
    ("last seen", Align::Left),
    ("questions", Align::Right),
    ("unanswered", Align::Right),
    ("tokens", Align::Right),
    ("cost", Align::Right),
];

fn row(it: &ConversationSummary) -> [String; 7] {
    [
        it.id.to_string(),
        it.started_at.to_rfc3339(),
        it.last_seen_at.to_rfc3339(),
        it.questions.to_string(),
        it.unanswered.to_string(),
        it.prompt_tokens.saturating_add(it.completion_tokens).to_string(),
        money(it.cost),
    ]
}
