//! Prints and formats the output of commands.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::{CliError, CliResult};

/// Writes to standard output. A closed pipe, as with `| head`, is not an error.
pub(super) fn print(text: &str) -> CliResult {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::failure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> CliResult {
    print(&(to_json(value)? + "\n"))
}

pub(super) fn to_json(value: &impl Serialize) -> CliResult<String> {
    serde_json::to_string(value).map_err(CliError::failure)
}

/// Formats US dollars with six decimals, because a question costs thousandths of a cent. Returns
/// `-` for an unknown cost.
pub(super) fn format_cost(dollars: Option<f64>) -> String {
    dollars.map_or_else(|| "-".to_owned(), |dollars| format!("${dollars:.6}"))
}

/// Formats a count with its noun, such as `1 question` or `2 questions`.
pub(super) fn format_count(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Replaces control characters except line feeds and tabs, so that text from outside cannot control
/// the terminal.
pub(super) fn replace_control_characters(text: &str) -> String {
    let is_unsafe = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    text.chars()
        .map(|character| if is_unsafe(character) { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// The heading and alignment of a table column.
#[derive(Clone, Copy)]
pub(super) struct TableColumn {
    name: &'static str,
    align: Align,
}

impl TableColumn {
    pub(super) const fn left(name: &'static str) -> Self {
        Self { name, align: Align::Left }
    }

    pub(super) const fn right(name: &'static str) -> Self {
        Self { name, align: Align::Right }
    }
}

/// Formats a table with a heading, and two spaces between columns.
pub(super) fn format_table<const N: usize>(columns: [TableColumn; N], rows: Vec<[String; N]>) -> String {
    let heading = columns.map(|column| column.name.to_owned());
    let rows: Vec<[String; N]> = std::iter::once(heading).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|index| {
        rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).zip(columns).map(|((cell, width), column)| match column.align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_not_bytes() {
        let rows = vec![["é".to_owned(), "1".to_owned()], ["long name".to_owned(), "12345".to_owned()]];
        let table = format_table([TableColumn::left("model"), TableColumn::right("n")], rows);
        assert_eq!(table, "model          n\né              1\nlong name  12345\n");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(
            replace_control_characters("a\u{1b}[2Jb\r\u{9b}c\n\td"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n\td"
        );
    }

    #[test]
    fn costs_are_in_dollars() {
        assert_eq!(
            (format_cost(Some(0.000_123)), format_cost(None)),
            ("$0.000123".to_owned(), "-".to_owned())
        );
    }
}
