//! Tests that `docs/api_reference.md` contains the tables of error codes and close codes.

use crate::protocol::close_codes::{CLOSE_CODES, CloseCodeEntry};
use crate::protocol::error_codes::{ERROR_CODES, ErrorCodeEntry};

const REFERENCE: &str = include_str!("../../docs/api_reference.md");

fn error_code_row(entry: &ErrorCodeEntry) -> String {
    let ErrorCodeEntry { code, http_status, close_reason, message, cause, operator_action } = entry;
    let name = code.as_str();
    let retry = if code.is_retryable() { "yes" } else { "no" };
    let close = close_reason.map_or_else(|| "–".to_owned(), |reason| reason.code().to_string());
    format!("| `{name}` | {http_status} | {retry} | {close} | {message} | {cause} | {operator_action} |")
}

fn close_code_row(entry: &CloseCodeEntry) -> String {
    let CloseCodeEntry { code, description, cause, client_action, .. } = entry;
    format!("| {code} | {description} | {cause} | {client_action} |")
}

/// Returns a Markdown table with the given header line and rows.
fn table(header: &str, rows: impl Iterator<Item = String>) -> String {
    let columns = header.matches('|').count() - 1;
    let rule = format!("|{}", "---|".repeat(columns));
    [header.to_owned(), rule].into_iter().chain(rows).fold(String::new(), |text, line| text + &line + "\n")
}

/// Returns the first table below a heading of the reference.
fn documented_table(heading: &str) -> String {
    let section = REFERENCE.split(&format!("\n{heading}\n")).nth(1).unwrap_or_default();
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    lines.take_while(|line| line.starts_with('|')).fold(String::new(), |text, line| text + line + "\n")
}

fn assert_documented(heading: &str, expected: &str) {
    let documented = documented_table(heading);
    assert!(documented == expected, "`{heading}` of docs/api_reference.md must contain:\n\n{expected}");
}

#[test]
fn reference_contains_the_table_of_error_codes() {
    let header = "| code | HTTP | retry | close | message | when | operator action |";
    assert_documented("## Error codes", &table(header, ERROR_CODES.iter().map(error_code_row)));
}

#[test]
fn reference_contains_the_table_of_close_codes() {
    let header = "| code | text | when | client action |";
    assert_documented("## Close codes", &table(header, CLOSE_CODES.iter().map(close_code_row)));
}
