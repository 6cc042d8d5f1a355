//! The tables of `docs/api_reference.md` that are made from the tables of codes, and the test that they are.

use crate::domain::error_code::ErrorCode;
use crate::protocol::error_codes::{CloseEntry, CloseReason, CodeEntry};
use strum::VariantArray;

/// The document that is checked.
const REFERENCE: &str = include_str!("../../docs/api_reference.md");

fn code_row(entry: CodeEntry) -> String {
    let CodeEntry { name, http_status, retryable, message, when, operator, closes_with, .. } = entry;
    let retry = if retryable { "yes" } else { "no" };
    let close = closes_with.map_or_else(|| "–".to_owned(), |reason| reason.code().to_string());
    format!("| `{name}` | {http_status} | {retry} | {close} | {message} | {when} | {operator} |")
}

fn close_row(entry: CloseEntry) -> String {
    let CloseEntry { code, description, when, client } = entry;
    format!("| {code} | {description} | {when} | {client} |")
}

/// A whole table: its head, the line below it, its rows.
fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let columns = head.matches('|').count() - 1;
    let rule = format!("|{}", "---|".repeat(columns));
    [head.to_owned(), rule].into_iter().chain(rows).fold(String::new(), |text, line| text + &line + "\n")
}

/// The table under a heading, as it stands in the reference.
fn standing_under(heading: &str) -> String {
    let section = REFERENCE.split(&format!("\n{heading}\n")).nth(1).unwrap_or_default();
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    lines.take_while(|line| line.starts_with('|')).fold(String::new(), |text, line| text + line + "\n")
}

fn check(heading: &str, expected: &str) {
    let standing = standing_under(heading);
    assert!(standing == expected, "`{heading}` of docs/api_reference.md must contain:\n\n{expected}");
}

#[test]
fn the_reference_has_the_table_of_error_codes() {
    let rows = ErrorCode::VARIANTS.iter().map(|code| code_row(code.entry()));
    let head = "| code | HTTP | retry | close | message | when | operator action |";
    check("## Error codes", &table(head, rows));
}

#[test]
fn the_reference_has_the_table_of_close_codes() {
    let rows = CloseReason::ALL.iter().map(|reason| close_row(reason.entry()));
    check("## Close codes", &table("| code | text | when | client action |", rows));
}
