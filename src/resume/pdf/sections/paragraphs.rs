//! Joins wrapped lines to paragraphs and bullets.

use std::collections::HashSet;

use crate::resume::document_builder::DocumentBuilder;
use crate::resume::headings::strip_bullet;
use crate::resume::pdf::lines::Line;

/// The words of the document in lower case. They determine whether a hyphen at the end of a line is
/// part of the word.
pub(super) struct Words(HashSet<String>);

impl Words {
    pub(super) fn from_lines(lines: &[&Line]) -> Self {
        let words = |line: &&Line| line.text.split(is_separator).map(str::to_lowercase).collect::<Vec<_>>();
        Self(lines.iter().flat_map(words).filter(|word| word.len() > 2).collect())
    }

    /// Joins a line that ends with a hyphen and the next line, and removes the hyphen unless it is
    /// part of the word.
    fn join_hyphenated(&self, first: &str, second: &str) -> String {
        /// Prefixes that usually keep their hyphen.
        const HYPHENATED_PREFIXES: &[&str] = &[
            "multi", "self", "cross", "non", "high", "low", "long", "short", "open", "end", "real", "co",
            "on", "in", "well", "full", "part", "data", "cloud", "pre",
        ];
        let head = first.rsplit(is_separator).next().unwrap_or_default().trim_end_matches('-').to_lowercase();
        let tail = second.split(is_separator).next().unwrap_or_default().to_lowercase();
        let tail_start = tail.split('-').next().unwrap_or_default();
        let occurs = |word: String| self.0.contains(&word);
        let is_compound = !tail.chars().next().is_some_and(char::is_lowercase)
            || head.contains('-')
            || second.chars().next().is_some_and(char::is_uppercase);
        let keeps_hyphen = is_compound
            || (!occurs(format!("{head}{tail_start}"))
                && (occurs(format!("{head}-{tail}")) || HYPHENATED_PREFIXES.contains(&head.as_str())));
        if keeps_hyphen {
            format!("{first}{second}")
        } else {
            format!("{}{second}", first.trim_end_matches('-'))
        }
    }
}

/// Returns true for a character between words. A hyphen is part of a word.
fn is_separator(character: char) -> bool {
    !character.is_alphanumeric() && character != '-'
}

/// A paragraph or bullet that the next line may continue.
pub(super) struct OpenParagraph {
    text: String,
    is_bullet: bool,
    /// The left edge of the first line.
    left: f64,
    last_line: Line,
}

impl OpenParagraph {
    pub(super) fn from_line(line: &Line) -> Self {
        let bullet_text = strip_bullet(&line.text);
        let text = bullet_text.unwrap_or(&line.text).to_owned();
        Self { text, is_bullet: bullet_text.is_some(), left: line.left, last_line: line.clone() }
    }

    /// Returns true if the line continues the paragraph, that is if the line before was wrapped and
    /// this line starts nothing new.
    pub(super) fn is_continued_by(&self, line: &Line) -> bool {
        let last = &self.last_line;
        if strip_bullet(&line.text).is_some() || (last.size - line.size).abs() > 0.6 {
            return false;
        }
        // The bullet character can be a line of its own, at a slightly different height.
        if self.is_bullet && self.text.is_empty() {
            return true;
        }
        // A label in bold starts a paragraph, and a line of several pieces is one.
        let has_pieces = line.piece_count > 1 || last.piece_count > 1;
        if (line.is_bold && !last.is_bold) || (has_pieces && !self.is_bullet) {
            return false;
        }
        let distance = last.baseline - line.baseline;
        let is_on_next_page = distance < 0.0;
        let is_close = distance > 0.0 && distance < line.size * 1.75;
        let column_width = last.column.right - last.column.left;
        let is_last_full = last.column.right - last.right < column_width * 0.15;
        let starts_lowercase = line.text.chars().next().is_some_and(char::is_lowercase);
        if self.is_bullet {
            let is_indented = line.left > self.left + 1.0;
            return (is_indented && (is_close || (is_on_next_page && is_last_full)))
                || (is_on_next_page && is_last_full && starts_lowercase);
        }
        let is_aligned = (line.left - last.left).abs() < line.size * 3.0;
        is_last_full && ((is_close && is_aligned) || (is_on_next_page && starts_lowercase))
    }

    pub(super) fn push_line(&mut self, line: &Line, words: &Words) {
        if self.text.ends_with('-') && !self.text.ends_with(" -") {
            self.text = words.join_hyphenated(&self.text, &line.text);
        } else {
            self.text.push(' ');
            self.text.push_str(&line.text);
        }
        self.last_line = line.clone();
    }

    /// Writes the paragraph to the document.
    pub(super) fn finish(self, builder: &mut DocumentBuilder) {
        if self.is_bullet {
            builder.push_bullet(&self.text);
        } else {
            builder.push_paragraph(&self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_at_line_ends_are_kept_only_in_compound_words() {
        let words = Words(["consul", "multi-account"].map(str::to_owned).into());
        assert_eq!(words.join_hyphenated("uses Con-", "sul and"), "uses Consul and");
        assert_eq!(words.join_hyphenated("in multi-", "account setups"), "in multi-account setups");
        assert_eq!(words.join_hyphenated("an oper-", "ation"), "an operation");
        assert_eq!(words.join_hyphenated("real-", "time"), "real-time");
        assert_eq!(words.join_hyphenated("Anglo-", "Saxon"), "Anglo-Saxon");
    }
}
