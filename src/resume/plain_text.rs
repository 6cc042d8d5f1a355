//! Reads plain text: headings are guessed from capitals, underlines and well-known names.

use super::document_builder::Outline;
use super::headings::{after_bullet, in_capitals, known, looks_like_name};

pub(super) fn parse(text: &str) -> Outline {
    let lines: Vec<&str> = text.lines().collect();
    let mut outline = Outline::default();
    let mut pending = Pending::default();
    let mut skip_underline = false;
    for (index, raw) in lines.iter().enumerate() {
        let line = raw.trim();
        let underlined = lines.get(index + 1).is_some_and(|next| is_underline(next));
        let after_gap = index
            .checked_sub(1)
            .and_then(|before| lines.get(before))
            .is_none_or(|before| before.trim().is_empty());
        if std::mem::take(&mut skip_underline) || line.is_empty() || is_underline(line) {
            pending.flush(&mut outline);
        } else if !outline.has_name() && outline.is_empty() && pending.is_empty() && looks_like_name(line) {
            outline.name(line);
            skip_underline = underlined;
        } else if known(line).is_some() || underlined || (after_gap && in_capitals(line)) {
            pending.flush(&mut outline);
            outline.heading(1, line);
            skip_underline = underlined;
        } else if let Some(rest) = after_bullet(line) {
            pending.flush(&mut outline);
            pending.start(rest, true, indent(raw));
        } else if pending.takes(raw, line) {
            pending.push(line, raw.chars().count());
        } else {
            pending.flush(&mut outline);
            pending.start(line, false, indent(raw));
            pending.width = raw.chars().count();
        }
    }
    pending.flush(&mut outline);
    outline
}

/// Three or more of the same drawing character.
fn is_underline(line: &str) -> bool {
    let line = line.trim();
    let mut characters = line.chars();
    let Some(first) = characters.next() else { return false };
    "-=_~*#─━═".contains(first) && line.chars().count() >= 3 && characters.all(|character| character == first)
}

fn indent(raw: &str) -> usize {
    raw.chars().take_while(|character| character.is_whitespace()).count()
}

/// A line from this width on was broken by an editor, not by the writer.
const WRAPPED_FROM: usize = 60;

/// A paragraph or bullet that may go on in the next line.
#[derive(Default)]
struct Pending {
    text: String,
    bullet: bool,
    indent: usize,
    /// Of the last line as it stood in the file, in characters.
    width: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn start(&mut self, text: &str, bullet: bool, indent: usize) {
        (self.text, self.bullet, self.indent) = (text.to_owned(), bullet, indent);
    }

    /// Bullets go on in deeper lines; paragraphs where the line before was as wide as an editor breaks them.
    fn takes(&self, raw: &str, line: &str) -> bool {
        if self.text.is_empty() {
            return false;
        }
        if self.bullet {
            return indent(raw) > self.indent;
        }
        self.width >= WRAPPED_FROM && !line.is_empty()
    }

    fn push(&mut self, line: &str, width: usize) {
        self.text.push(' ');
        self.text.push_str(line);
        self.width = width;
    }

    fn flush(&mut self, outline: &mut Outline) {
        let text = std::mem::take(&mut self.text);
        if self.bullet {
            outline.bullet(&text);
        } else {
            outline.paragraph(&text);
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_headings_are_found() {
        let text = "Mara Lindqvist\n==============\nGothenburg\n\nCAREER GOALS\nShip.\n\nPet Projects\n------------\n* one\n  goes on\n* two\n\nSkills:\nRust, Go\n";
        let document = parse(text).finish("cv").unwrap();
        let found: Vec<_> = document.sections.iter().map(|s| (s.title.as_str(), s.text.as_str())).collect();
        let wanted = [
            ("About", "Gothenburg"),
            ("CAREER GOALS", "Ship."),
            ("Pet Projects", "- one goes on\n- two"),
            ("Skills", "Rust, Go"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(document.name, "Mara Lindqvist");
    }

    #[test]
    fn broken_lines_are_joined_and_short_ones_are_not() {
        let long = "x".repeat(70);
        let document =
            parse(&format!("SUMMARY\n\n{long}\nthe end\n\nAcme\nEngineer\n")).finish("cv").unwrap();
        assert_eq!(document.sections[0].text, format!("{long} the end\nAcme\nEngineer"));
    }

    #[test]
    fn a_file_without_headings_is_one_section() {
        let document = parse("i write code at 3 in the night\nand sleep by day\n").finish("cv").unwrap();
        assert_eq!(document.sections.len(), 1);
        assert_eq!(document.name, "cv");
    }
}
