//! Joins the lines a page was broken into back to paragraphs and bullets.

use std::collections::HashSet;

use crate::resume::document_builder::Outline;
use crate::resume::headings::after_bullet;
use crate::resume::pdf::lines::Line;

/// The document's words in lower case, to tell whether a hyphen at the end of a line belongs to the word.
pub(super) struct Words(HashSet<String>);

impl Words {
    pub(super) fn of(lines: &[&Line]) -> Self {
        let split = |line: &&Line| line.text.split(is_between).map(str::to_lowercase).collect::<Vec<_>>();
        Self(lines.iter().flat_map(split).filter(|word| word.len() > 2).collect())
    }

    /// The two halves with or without their hyphen.
    fn join(&self, first: &str, second: &str) -> String {
        /// Where the document does not have the word a second time, these starts usually keep it.
        const PREFIXES: &[&str] = &[
            "multi", "self", "cross", "non", "high", "low", "long", "short", "open", "end", "real", "co",
            "on", "in", "well", "full", "part", "data", "cloud", "pre",
        ];
        let head = first.rsplit(is_between).next().unwrap_or_default().trim_end_matches('-').to_lowercase();
        let tail = second.split(is_between).next().unwrap_or_default().to_lowercase();
        let without_tail = tail.split('-').next().unwrap_or_default();
        let known = |word: String| self.0.contains(&word);
        let keep = !tail.chars().next().is_some_and(char::is_lowercase)
            || head.contains('-')
            || second.chars().next().is_some_and(char::is_uppercase);
        let keep = keep
            || (!known(format!("{head}{without_tail}"))
                && (known(format!("{head}-{tail}")) || PREFIXES.contains(&head.as_str())));
        if keep { format!("{first}{second}") } else { format!("{}{second}", first.trim_end_matches('-')) }
    }
}

fn is_between(character: char) -> bool {
    !character.is_alphanumeric() && character != '-'
}

/// A paragraph or bullet that may go on in the next line.
pub(super) struct Paragraph {
    text: String,
    bullet: bool,
    /// The left edge of the first line.
    x: f64,
    last: Line,
}

impl Paragraph {
    pub(super) fn start(line: &Line) -> Self {
        let rest = after_bullet(&line.text);
        let text = rest.unwrap_or(&line.text).to_owned();
        Self { text, bullet: rest.is_some(), x: line.x, last: line.clone() }
    }

    /// Whether the line goes on with it: it starts nothing new, and the line before was broken for want of room.
    pub(super) fn takes(&self, line: &Line) -> bool {
        let last = &self.last;
        if after_bullet(&line.text).is_some() || (last.size - line.size).abs() > 0.6 {
            return false;
        }
        // A bullet can stand on a line of its own, its text a little off.
        if self.bullet && self.text.is_empty() {
            return true;
        }
        // Labels in bold, and lines with pieces, begin and end by themselves.
        if (line.bold && !last.bold) || line.pieces > 1 && !self.bullet || last.pieces > 1 && !self.bullet {
            return false;
        }
        let step = last.y - line.y;
        let next_page = step < 0.0;
        let close = step > 0.0 && step < line.size * 1.75;
        let full = last.column.1 - last.end < (last.column.1 - last.column.0) * 0.15;
        let indented = line.x > self.x + 1.0;
        let small_start = line.text.chars().next().is_some_and(char::is_lowercase);
        if self.bullet {
            return (indented && (close || (next_page && full))) || (next_page && full && small_start);
        }
        full && ((close && (line.x - last.x).abs() < line.size * 3.0) || (next_page && small_start))
    }

    pub(super) fn push(&mut self, line: &Line, words: &Words) {
        let hyphenated = self.text.ends_with('-') && !self.text.ends_with(" -");
        if hyphenated {
            self.text = words.join(&self.text, &line.text);
        } else {
            self.text.push(' ');
            self.text.push_str(&line.text);
        }
        self.last = line.clone();
    }

    pub(super) fn close(paragraph: Option<Self>, out: &mut Outline) {
        match paragraph {
            Some(Self { text, bullet: true, .. }) => out.bullet(&text),
            Some(Self { text, bullet: false, .. }) => out.paragraph(&text),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyphen_at_the_end_of_a_line_stays_where_the_word_has_one() {
        let words = Words(["consul", "multi-account"].map(str::to_owned).into());
        assert_eq!(words.join("uses Con-", "sul and"), "uses Consul and");
        assert_eq!(words.join("in multi-", "account setups"), "in multi-account setups");
        assert_eq!(words.join("an oper-", "ation"), "an operation");
        assert_eq!(words.join("real-", "time"), "real-time");
        assert_eq!(words.join("Anglo-", "Saxon"), "Anglo-Saxon");
    }
}
