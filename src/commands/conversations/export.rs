//! `conversations export`: writes conversations to a file or to standard output.
//!
//! Reads from the database in pages, so the memory does not grow with the export.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use resume_chatbot::persistence::reports::{ConversationFilter, ConversationSummary, Page, Reports};

use super::super::{CliResult, duration_arg};
use super::export_writer::ExportWriter;
use super::{json, markdown, report_error};

/// Conversations per page, which are read without their turns.
const CONVERSATION_PAGE_SIZE: usize = 100;

/// Turns per page. Larger pages would take more memory and not be much faster.
const TURN_PAGE_SIZE: usize = 50;

/// How often the progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// Only conversations with activity within this time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = duration_arg::parse)]
    since: Option<Duration>,
    /// Only conversations with a question whose answer failed, was interrupted, or is not finished.
    #[arg(long)]
    unanswered: bool,
    /// The format; `jsonl` is one conversation per line, `json` one array of conversations.
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write to this file, readable only by you, and replace it only when the export is complete;
    /// by default, write to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    Jsonl,
    Json,
    Markdown,
}

pub(super) async fn export(arguments: &Arguments, reports: &Reports) -> CliResult {
    let format = if arguments.json { ExportFormat::Json } else { arguments.format };
    let filter = ConversationFilter {
        since: duration_arg::cutoff(arguments.since),
        include_empty: false,
        unanswered_only: arguments.unanswered,
    };
    let mut writer = ExportWriter::open(arguments.output.as_deref())?;
    let mut progress = ExportProgress::new();
    let mut last = None;
    if format == ExportFormat::Json {
        writer.write("[")?;
    }
    loop {
        let page = Page::After(last);
        let conversations =
            reports.conversations(filter, page, CONVERSATION_PAGE_SIZE).await.map_err(report_error)?;
        for conversation in &conversations {
            if format == ExportFormat::Json {
                writer.write(if last.is_some() { ",\n" } else { "\n" })?;
            }
            write_conversation(reports, conversation, format, &mut writer).await?;
            last = Some(conversation.id);
            progress.add_conversation(conversation.questions);
        }
        if conversations.len() < CONVERSATION_PAGE_SIZE || writer.is_closed() {
            break;
        }
    }
    if format == ExportFormat::Json {
        writer.write("\n]\n")?;
    }
    progress.finish();
    writer.finish()
}

/// Writes one conversation and reads its turns in pages.
pub(super) async fn write_conversation(
    reports: &Reports,
    conversation: &ConversationSummary,
    format: ExportFormat,
    writer: &mut ExportWriter,
) -> CliResult {
    let opening = match format {
        ExportFormat::Markdown => markdown::heading(conversation),
        ExportFormat::Json | ExportFormat::Jsonl => json::opening(conversation)?,
    };
    writer.write(&opening)?;
    let mut last = None;
    loop {
        let turns = reports.turns(conversation.id, last, TURN_PAGE_SIZE).await.map_err(report_error)?;
        for turn in &turns {
            match format {
                ExportFormat::Markdown => writer.write(&markdown::turn(turn))?,
                ExportFormat::Json | ExportFormat::Jsonl => {
                    let comma = if last.is_some() { "," } else { "" };
                    writer.write(&(comma.to_owned() + &json::turn(turn)?))?;
                }
            }
            last = Some(turn.turn_id);
        }
        if turns.len() < TURN_PAGE_SIZE || writer.is_closed() {
            break;
        }
    }
    match format {
        ExportFormat::Markdown => Ok(()),
        ExportFormat::Json => writer.write(json::CLOSING),
        ExportFormat::Jsonl => writer.write(&(json::CLOSING.to_owned() + "\n")),
    }
}

/// Shows the progress on standard error, if it is a terminal.
struct ExportProgress {
    is_visible: bool,
    conversations: u64,
    questions: i64,
    last_shown: Option<Instant>,
}

impl ExportProgress {
    fn new() -> Self {
        Self { is_visible: io::stderr().is_terminal(), conversations: 0, questions: 0, last_shown: None }
    }

    fn add_conversation(&mut self, questions: i64) {
        self.conversations += 1;
        self.questions = self.questions.saturating_add(questions);
        let is_due = self.last_shown.is_none_or(|shown| shown.elapsed() >= PROGRESS_INTERVAL);
        if self.is_visible && is_due {
            self.last_shown = Some(Instant::now());
            self.show("");
        }
    }

    fn finish(&self) {
        if self.is_visible {
            self.show("\n");
        }
    }

    fn show(&self, end: &str) {
        let (conversations, questions) = (self.conversations, self.questions);
        let line = format!("\rexported: conversations {conversations}, questions {questions}{end}");
        let _ = io::stderr().write_all(line.as_bytes());
    }
}
