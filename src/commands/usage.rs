//! `usage`: reports the number of questions, their tokens and their cost.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use resume_chatbot::persistence::reports::{UsageBy, UsageGroup};
use serde::Serialize;

use super::conversations::report_error;
use super::output::{TableColumn, format_cost, format_table, print, print_json, replace_control_characters};
use super::{CliResult, duration_arg, with_reports};

#[derive(Args)]
pub(super) struct Arguments {
    /// Only questions asked within this time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = duration_arg::parse)]
    since: Option<Duration>,
    /// Add a row for each day (UTC), model or status.
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

/// The JSON output.
#[derive(Serialize)]
struct Report {
    /// Empty without `--by`.
    groups: Vec<UsageGroup>,
    total: UsageGroup,
}

pub(super) fn usage(arguments: &Arguments, config: Option<&Path>) -> CliResult {
    let (by, group_name) = match arguments.by {
        Some(By::Day) => (UsageBy::Day, "day"),
        Some(By::Model) => (UsageBy::Model, "model"),
        Some(By::Status) => (UsageBy::Status, "status"),
        // The total is the same for any grouping.
        None => (UsageBy::Status, ""),
    };
    let since = duration_arg::cutoff(arguments.since);
    let mut groups =
        with_reports(config, async |reports| reports.usage(since, by).await.map_err(report_error))?;
    let total = total(&groups);
    if arguments.by.is_none() {
        groups.clear();
    }
    if arguments.json {
        return print_json(&Report { groups, total });
    }
    let columns = [
        TableColumn::left(group_name),
        TableColumn::right("questions"),
        TableColumn::right("prompt tokens"),
        TableColumn::right("answer tokens"),
        TableColumn::right("estimated"),
        TableColumn::right("cost"),
    ];
    print(&format_table(columns, groups.iter().chain([&total]).map(row).collect()))
}

fn total(groups: &[UsageGroup]) -> UsageGroup {
    let sum = |number: fn(&UsageGroup) -> i64| groups.iter().map(number).fold(0, i64::saturating_add);
    UsageGroup {
        group: "total".to_owned(),
        questions: sum(|usage| usage.questions),
        estimated: sum(|usage| usage.estimated),
        prompt_tokens: sum(|usage| usage.prompt_tokens),
        completion_tokens: sum(|usage| usage.completion_tokens),
        cost: groups.iter().filter_map(|usage| usage.cost).reduce(|sum, cost| sum + cost),
    }
}

fn row(usage: &UsageGroup) -> [String; 6] {
    [
        replace_control_characters(&usage.group),
        usage.questions.to_string(),
        usage.prompt_tokens.to_string(),
        usage.completion_tokens.to_string(),
        usage.estimated.to_string(),
        format_cost(usage.cost),
    ]
}
