//! What owners read: tables that align, times in UTC, money in dollars; and writing it out.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::{Failed, Outcome};

/// Writes to standard output. A reader that has had enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failed(1, format!("standard output cannot be written to: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON, one line.
pub(super) fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(value).map_err(|error| Failed(1, error.to_string()))?;
    print(&(text + "\n"))
}

/// US dollars, to a millionth, because a question costs thousandths of a cent; `-` where nobody said.
pub(super) fn money(cost: Option<f64>) -> String {
    cost.map_or_else(|| "-".to_owned(), |cost| format!("${cost:.6}"))
}

/// Text that others wrote, fit for a terminal: what would steer it is shown as a replacement character.
pub(super) fn harmless(text: &str) -> String {
    let steers = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    text.chars().map(|letter| if steers(letter) { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Columns as wide as their widest cell, two spaces between them; the first row is the heading.
pub(super) fn table<const N: usize>(heading: [(&str, Align); N], rows: Vec<[String; N]>) -> String {
    let aligned = heading.map(|(_, align)| align);
    let heading = heading.map(|(name, _)| name.to_owned());
    let rows: Vec<[String; N]> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut page = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).zip(aligned).map(|((cell, width), align)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        page.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_also_with_letters_of_many_bytes() {
        let rows = vec![["é".to_owned(), "1".to_owned()], ["long name".to_owned(), "12345".to_owned()]];
        let page = table([("model", Align::Left), ("n", Align::Right)], rows);
        assert_eq!(page, "model          n\né              1\nlong name  12345\n");
    }

    #[test]
    fn nothing_that_others_wrote_steers_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\u{9b}c\n\td"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n\td");
    }

    #[test]
    fn money_is_in_dollars() {
        assert_eq!((money(Some(0.000_123)), money(None)), ("$0.000123".to_owned(), "-".to_owned()));
    }
}
