//! `usage`: what was asked, and what it took.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use resume_chatbot::persistence::reports::{UsageBy, UsageGroup};
use serde::Serialize;

use super::conversations::failed;
use super::page::{Align, harmless, money, print, print_json, table};
use super::{Outcome, span, with_reports};

#[derive(Args)]
pub(super) struct Arguments {
    /// Only what was asked in this last time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = span::parse)]
    since: Option<Duration>,
    /// A row for each day (UTC), model, or way in which answers ended.
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Day,
    Model,
    Status,
}

/// The report as JSON.
#[derive(Serialize)]
struct Report {
    /// One for each day, model or status; empty without `--by`.
    groups: Vec<UsageGroup>,
    total: UsageGroup,
}

pub(super) fn usage(arguments: &Arguments, config: Option<&Path>) -> Outcome {
    let (by, name) = match arguments.by {
        Some(By::Day) => (UsageBy::Day, "day"),
        Some(By::Model) => (UsageBy::Model, "model"),
        Some(By::Status) => (UsageBy::Status, "status"),
        // Any of them sums up to the total.
        None => (UsageBy::Status, ""),
    };
    let since = span::ago(arguments.since);
    let mut groups = with_reports(config, async |reports| reports.usage(since, by).await.map_err(failed))?;
    let total = total(&groups);
    if arguments.by.is_none() {
        groups.clear();
    }
    if arguments.json {
        return print_json(&Report { groups, total });
    }
    let heading = [
        (name, Align::Left),
        ("questions", Align::Right),
        ("prompt tokens", Align::Right),
        ("answer tokens", Align::Right),
        ("cost", Align::Right),
    ];
    print(&table(heading, groups.iter().chain([&total]).map(row).collect()))
}

fn total(groups: &[UsageGroup]) -> UsageGroup {
    let sum = |number: fn(&UsageGroup) -> i64| groups.iter().map(number).fold(0, i64::saturating_add);
    UsageGroup {
        group: "total".to_owned(),
        questions: sum(|it| it.questions),
        prompt_tokens: sum(|it| it.prompt_tokens),
        completion_tokens: sum(|it| it.completion_tokens),
        cost: groups.iter().filter_map(|it| it.cost).reduce(|sum, cost| sum + cost),
    }
}

fn row(it: &UsageGroup) -> [String; 5] {
    [
        harmless(&it.group),
        it.questions.to_string(),
        it.prompt_tokens.to_string(),
        it.completion_tokens.to_string(),
        money(it.cost),
    ]
}
