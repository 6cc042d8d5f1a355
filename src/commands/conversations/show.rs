//! `conversations show`: prints the questions and answers of a conversation.

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::Reports;

use super::super::CliResult;
use super::export::{ExportFormat, write_conversation};
use super::export_writer::ExportWriter;
use super::{not_found, parse_session_id, report_error};

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// The id of the conversation, as `list` prints it.
    #[arg(value_parser = parse_session_id)]
    id: SessionId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(arguments: &Arguments, reports: &Reports) -> CliResult {
    let conversation = reports.conversation(arguments.id).await.map_err(report_error)?;
    let conversation = conversation.ok_or_else(|| not_found(arguments.id))?;
    let format = if arguments.json { ExportFormat::Jsonl } else { ExportFormat::Markdown };
    let mut writer = ExportWriter::stdout();
    write_conversation(reports, &conversation, format, &mut writer).await?;
    writer.finish()
}
