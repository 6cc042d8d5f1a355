//! `conversations show`.

use clap::Args;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::persistence::reports::Reports;

use super::super::Outcome;
use super::export::{Format, Sink, write_conversation};
use super::{failed, session_id, unknown};

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// The conversation, as `list` prints it.
    #[arg(value_parser = session_id)]
    id: SessionId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(arguments: &Arguments, reports: &Reports) -> Outcome {
    let found = reports.conversation(arguments.id).await.map_err(failed)?;
    let conversation = found.ok_or_else(|| unknown(arguments.id))?;
    let format = if arguments.json { Format::Jsonl } else { Format::Markdown };
    let mut sink = Sink::stdout();
    write_conversation(reports, &conversation, format, &mut sink).await?;
    sink.finish()
}
