//! `assess`: runs the prompt-injection detector on text files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use resume_chatbot::input_filter::injection::{DetectionStats, measure};
use serde_json::{Value, json};

use super::output::{print, print_json};
use super::{CliError, CliResult};

const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The JSON keys and CSV columns that can hold the text, in order of preference.
const TEXT_KEYS: [&str; 3] = ["prompt", "text", "question"];

#[derive(Args)]
pub(super) struct Arguments {
    /// Text files: JSON (lists of texts, or of objects with a `prompt`, `text` or `question`), CSV
    /// (with such a column), or one text per line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the share of flagged texts: for attacks the detection rate, for benign texts the
/// false-positive rate.
pub(super) fn assess(arguments: &Arguments) -> CliResult {
    let mut results = Vec::new();
    for file in &arguments.files {
        let texts = read_texts(file)?;
        results.push((file, measure(texts.iter().map(String::as_str))));
    }
    if arguments.json {
        let json: Vec<Value> = results.iter().map(|(file, stats)| to_json(file, stats)).collect();
        return print_json(&json);
    }
    let mut table = format!("{:>7} {:>8} {:>7}  file\n", "texts", "flagged", "share");
    for (file, stats) in &results {
        let percent = stats.flagged_share() * 100.0;
        let _ =
            writeln!(table, "{:>7} {:>8} {percent:>6.1}%  {}", stats.texts, stats.flagged, file.display());
        for (category, count) in &stats.by_category {
            let _ = writeln!(table, "{:>7} {count:>8} {:>7}    {}", "", "", category.as_str());
        }
    }
    print(&table)
}

fn to_json(file: &Path, stats: &DetectionStats) -> Value {
    let categories: serde_json::Map<String, Value> = stats
        .by_category
        .iter()
        .map(|(category, count)| (category.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "file": file.display().to_string(),
        "texts": stats.texts,
        "flagged": stats.flagged,
        "share": stats.flagged_share(),
        "categories": categories,
    })
}

fn read_texts(file: &Path) -> CliResult<Vec<String>> {
    parse_file(file).map_err(|problem| CliError::failure(format!("{}: {problem}", file.display())))
}

fn parse_file(file: &Path) -> Result<Vec<String>, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("the file has {size} bytes; at most {MAX_FILE_BYTES} are accepted"));
    }
    let content = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    match file.extension().and_then(OsStr::to_str) {
        Some("json") => {
            let value: Value = serde_json::from_str(&content).map_err(|error| error.to_string())?;
            let mut texts = Vec::new();
            collect_json_texts(&value, &mut texts);
            Ok(texts)
        }
        Some("csv") => parse_csv(&content),
        _ => Ok(content.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()),
    }
}

/// Returns the text column of a table whose first row has the column names.
fn parse_csv(content: &str) -> Result<Vec<String>, String> {
    let mut table = csv::Reader::from_reader(content.as_bytes());
    let names = table.headers().map_err(|error| error.to_string())?;
    let column = TEXT_KEYS
        .iter()
        .find_map(|key| names.iter().position(|name| name.trim().eq_ignore_ascii_case(key)))
        .ok_or_else(|| format!("there is no column named {}", TEXT_KEYS.join(", ")))?;
    let rows = table.records().map(|row| row.map_err(|error| error.to_string()));
    rows.map(|row| Ok(row?.get(column).unwrap_or_default().to_owned())).collect()
}

/// Collects texts at any depth: strings, and the text keys of objects. Searches all fields of an
/// object that has no text key.
fn collect_json_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect_json_texts(item, texts)),
        Value::Object(fields) => match TEXT_KEYS.iter().find_map(|key| fields.get(*key)) {
            Some(text) => collect_json_texts(text, texts),
            None => fields.values().for_each(|field| collect_json_texts(field, texts)),
        },
        _ => {}
    }
}
