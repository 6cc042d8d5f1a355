//! `conversations export`: page after page from the database to a file or to standard output, never all of it in memory.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use resume_chatbot::persistence::reports::{ConversationSummary, Page, Reports, Selection};
use tempfile::NamedTempFile;

use super::super::{Failed, Outcome, span};
use super::{TURNS_AT_ONCE, failed, markdown, transcript};

/// Conversations read at one time, without their words.
const CONVERSATIONS_AT_ONCE: usize = 100;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(in super::super) struct Arguments {
    /// Only conversations in which something happened in this last time (24h, 7d, 2w).
    #[arg(long, value_name = "DUR", value_parser = span::parse)]
    since: Option<Duration>,
    /// Only conversations with a question whose answer failed, was cut off, or has not ended.
    #[arg(long)]
    unanswered: bool,
    /// How: `jsonl` is one conversation a line, `json` one array of them.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Where to, readable by you alone, replaced only when the export is whole; otherwise standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How conversations are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Jsonl,
    Json,
    Markdown,
}

pub(super) async fn export(arguments: &Arguments, reports: &Reports) -> Outcome {
    let format = if arguments.json { Format::Json } else { arguments.format };
    let selection = Selection {
        since: span::ago(arguments.since),
        include_empty: false,
        unanswered_only: arguments.unanswered,
    };
    let mut sink = Sink::open(arguments.output.as_deref())?;
    let mut progress = Progress::new();
    let mut last = None;
    if format == Format::Json {
        sink.write("[")?;
    }
    loop {
        let page = Page::After(last);
        let page = reports.conversations(selection, page, CONVERSATIONS_AT_ONCE).await.map_err(failed)?;
        for conversation in &page {
            if format == Format::Json {
                sink.write(if last.is_some() { ",\n" } else { "\n" })?;
            }
            write_conversation(reports, conversation, format, &mut sink).await?;
            last = Some(conversation.id);
            progress.tell(conversation.questions);
        }
        if page.len() < CONVERSATIONS_AT_ONCE || sink.is_closed() {
            break;
        }
    }
    if format == Format::Json {
        sink.write("\n]\n")?;
    }
    progress.end();
    sink.finish()
}

/// Writes one conversation, turns page by page.
pub(super) async fn write_conversation(
    reports: &Reports,
    conversation: &ConversationSummary,
    format: Format,
    sink: &mut Sink,
) -> Outcome {
    let heading = match format {
        Format::Markdown => markdown::heading(conversation),
        Format::Json | Format::Jsonl => transcript::beginning(conversation)?,
    };
    sink.write(&heading)?;
    let mut last = None;
    loop {
        let page = reports.turns(conversation.id, last, TURNS_AT_ONCE).await.map_err(failed)?;
        for turn in &page {
            match format {
                Format::Markdown => sink.write(&markdown::turn(turn))?,
                Format::Json | Format::Jsonl => {
                    let comma = if last.is_some() { "," } else { "" };
                    sink.write(&(comma.to_owned() + &transcript::turn(turn)?))?;
                }
            }
            last = Some(turn.turn_id);
        }
        if page.len() < TURNS_AT_ONCE || sink.is_closed() {
            break;
        }
    }
    match format {
        Format::Markdown => Ok(()),
        Format::Json => sink.write(transcript::END),
        Format::Jsonl => sink.write(&(transcript::END.to_owned() + "\n")),
    }
}

/// Where an export goes.
pub(super) struct Sink {
    out: BufWriter<Box<dyn Write>>,
    /// The file that takes its place when all is written: where it is now, and where it goes.
    file: Option<(tempfile::TempPath, PathBuf)>,
    /// Who read has had enough (`| head`), which is no failure.
    closed: bool,
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Self { out: BufWriter::new(Box::new(io::stdout())), file: None, closed: false }
    }

    fn open(path: Option<&Path>) -> Result<Self, Failed> {
        let Some(path) = path else { return Ok(Self::stdout()) };
        let cannot = |error: io::Error| Failed(1, format!("{} cannot be written: {error}", path.display()));
        // A pipe or a device is written to; only a file can be replaced.
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(path).map_err(cannot)?;
            return Ok(Self { out: BufWriter::new(Box::new(file)), file: None, closed: false });
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let (file, place) = NamedTempFile::new_in(folder).map_err(cannot)?.into_parts();
        let file_and_place = Some((place, path.to_owned()));
        Ok(Self { out: BufWriter::new(Box::new(file)), file: file_and_place, closed: false })
    }

    pub(super) fn write(&mut self, text: &str) -> Outcome {
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes());
        self.judge(written)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Everything is out, and a file is in its place.
    pub(super) fn finish(mut self) -> Outcome {
        if self.closed {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.judge(flushed)?;
        match self.file {
            None => Ok(()),
            Some((place, path)) => place
                .persist(&path)
                .map_err(|error| Failed(1, format!("{} cannot be written: {}", path.display(), error.error))),
        }
    }

    fn judge(&mut self, written: io::Result<()>) -> Outcome {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.map_err(|error| Failed(1, format!("the export cannot be written: {error}"))),
        }
    }
}

/// What was done so far, on standard error if somebody watches.
struct Progress {
    watched: bool,
    conversations: u64,
    questions: i64,
    told_at: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { watched: io::stderr().is_terminal(), conversations: 0, questions: 0, told_at: None }
    }

    fn tell(&mut self, questions: i64) {
        self.conversations += 1;
        self.questions = self.questions.saturating_add(questions);
        if self.watched && self.told_at.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL) {
            self.told_at = Some(Instant::now());
            self.write("");
        }
    }

    fn end(&self) {
        if self.watched {
            self.write("\n");
        }
    }

    fn write(&self, end: &str) {
        let (conversations, questions) = (self.conversations, self.questions);
        let line = format!("\rexported: conversations {conversations}, questions {questions}{end}");
        let _ = io::stderr().write_all(line.as_bytes());
    }
}
