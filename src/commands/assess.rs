//! `assess`: how many texts of a file look like attempts to take over the model.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use resume_chatbot::input_filter::injection::{Tally, measure};
use serde_json::{Value, json};

use super::output::{print, print_json};
use super::{Failed, Outcome};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The keys under which a list of objects, or a table, holds its texts.
const TEXT_KEYS: [&str; 3] = ["prompt", "text", "question"];

#[derive(Args)]
pub(super) struct Arguments {
    /// Files of texts: JSON (lists of texts, or of objects with a `prompt`, `text` or `question`), CSV (with such a column),
    /// or one text a line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Of attacks the share is the recall; of honest questions it is the rate of false alarms.
pub(super) fn assess(arguments: &Arguments) -> Outcome {
    let mut tallies = Vec::new();
    for file in &arguments.files {
        let texts = read(file)?;
        tallies.push((file, measure(texts.iter().map(String::as_str))));
    }
    if arguments.json {
        let all: Vec<Value> = tallies.iter().map(|(file, tally)| as_json(file, tally)).collect();
        return print_json(&all);
    }
    let mut page = format!("{:>7} {:>8} {:>7}  file\n", "texts", "flagged", "share");
    for (file, tally) in &tallies {
        let share = tally.rate() * 100.0;
        let _ = writeln!(page, "{:>7} {:>8} {share:>6.1}%  {}", tally.count, tally.flagged, file.display());
        for (family, count) in &tally.families {
            let _ = writeln!(page, "{:>7} {count:>8} {:>7}    {}", "", "", family.as_str());
        }
    }
    print(&page)
}

fn as_json(file: &Path, tally: &Tally) -> Value {
    let families: serde_json::Map<String, Value> =
        tally.families.iter().map(|(family, count)| (family.as_str().to_owned(), json!(count))).collect();
    json!({
        "file": file.display().to_string(),
        "texts": tally.count,
        "flagged": tally.flagged,
        "share": tally.rate(),
        "families": families,
    })
}

fn read(file: &Path) -> Result<Vec<String>, Failed> {
    let failed = |problem: String| Failed(1, format!("{}: {problem}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed(format!("has {size} bytes; at most {MAX_FILE_BYTES} are read")));
    }
    let content = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    match file.extension().and_then(OsStr::to_str) {
        Some("json") => {
            let value: Value = serde_json::from_str(&content).map_err(|error| failed(error.to_string()))?;
            let mut texts = Vec::new();
            collect(&value, &mut texts);
            Ok(texts)
        }
        Some("csv") => column(&content).map_err(failed),
        _ => Ok(lines(&content)),
    }
}

fn lines(content: &str) -> Vec<String> {
    content.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The texts of a table whose first row names its columns.
fn column(content: &str) -> Result<Vec<String>, String> {
    let mut table = csv::Reader::from_reader(content.as_bytes());
    let names = table.headers().map_err(|error| error.to_string())?;
    let column = TEXT_KEYS
        .iter()
        .find_map(|key| names.iter().position(|name| name.trim().eq_ignore_ascii_case(key)))
        .ok_or_else(|| format!("has no column named {}", TEXT_KEYS.join(", ")))?;
    let rows = table.records().map(|row| row.map_err(|error| error.to_string()));
    rows.map(|row| Ok(row?.get(column).unwrap_or_default().to_owned())).collect()
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => match TEXT_KEYS.iter().find_map(|key| fields.get(*key)) {
            Some(text) => collect(text, texts),
            None => fields.values().for_each(|field| collect(field, texts)),
        },
        _ => {}
    }
}
