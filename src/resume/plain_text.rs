//! Reads plain text. Recognizes headings by capitals, underlines and usual section titles.

use super::document_builder::DocumentBuilder;
use super::headings::{can_be_name, is_heading_in_capitals, is_section_title, strip_bullet};

/// Lines of at least this many characters were probably wrapped by an editor, so the next line
/// continues the paragraph.
const MIN_WRAPPED_CHARS: usize = 60;

/// Underlines are at least this many characters long.
const MIN_UNDERLINE_CHARS: usize = 3;

pub(super) fn parse(text: &str) -> DocumentBuilder {
    let lines: Vec<&str> = text.lines().collect();
    let mut builder = DocumentBuilder::default();
    let mut block = OpenBlock::default();
    let mut skip_underline = false;
    for (index, raw_line) in lines.iter().enumerate() {
        let line = raw_line.trim();
        let is_underlined = lines.get(index + 1).is_some_and(|next| is_underline(next));
        let follows_blank_line = index
            .checked_sub(1)
            .and_then(|previous| lines.get(previous))
            .is_none_or(|previous| previous.trim().is_empty());
        let is_first = !builder.has_name() && builder.is_empty() && block.is_empty();
        if std::mem::take(&mut skip_underline) || line.is_empty() || is_underline(line) {
            block.flush(&mut builder);
        } else if is_first && can_be_name(line) {
            builder.set_name(line);
            skip_underline = is_underlined;
        } else if is_section_title(line)
            || is_underlined
            || (follows_blank_line && is_heading_in_capitals(line))
        {
            block.flush(&mut builder);
            builder.push_heading(1, line);
            skip_underline = is_underlined;
        } else if let Some(text) = strip_bullet(line) {
            block.flush(&mut builder);
            block = OpenBlock::bullet(text, raw_line);
        } else if block.is_continued_by(raw_line) {
            block.push_line(raw_line);
        } else {
            block.flush(&mut builder);
            block = OpenBlock::paragraph(raw_line);
        }
    }
    block.flush(&mut builder);
    builder
}

/// Returns true for a line of one repeated drawing character.
fn is_underline(line: &str) -> bool {
    let line = line.trim();
    let mut characters = line.chars();
    let Some(first) = characters.next() else { return false };
    "-=_~*#─━═".contains(first)
        && line.chars().count() >= MIN_UNDERLINE_CHARS
        && characters.all(|character| character == first)
}

fn indent(raw_line: &str) -> usize {
    raw_line.chars().take_while(|character| character.is_whitespace()).count()
}

/// A paragraph or bullet that the next line may continue.
#[derive(Default)]
struct OpenBlock {
    text: String,
    is_bullet: bool,
    /// Of the first line, in characters.
    indent: usize,
    /// The length of the last line with its indentation, in characters. Not used for bullets.
    last_line_chars: usize,
}

impl OpenBlock {
    fn paragraph(raw_line: &str) -> Self {
        Self {
            text: raw_line.trim().to_owned(),
            is_bullet: false,
            indent: indent(raw_line),
            last_line_chars: raw_line.chars().count(),
        }
    }

    fn bullet(text: &str, raw_line: &str) -> Self {
        Self { text: text.to_owned(), is_bullet: true, indent: indent(raw_line), last_line_chars: 0 }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns true if the line belongs to this block. More indented lines continue a bullet; any
    /// line continues a paragraph whose last line was wrapped.
    fn is_continued_by(&self, raw_line: &str) -> bool {
        if self.text.is_empty() {
            return false;
        }
        if self.is_bullet {
            return indent(raw_line) > self.indent;
        }
        self.last_line_chars >= MIN_WRAPPED_CHARS && !raw_line.trim().is_empty()
    }

    fn push_line(&mut self, raw_line: &str) {
        self.text.push(' ');
        self.text.push_str(raw_line.trim());
        self.last_line_chars = raw_line.chars().count();
    }

    /// Writes the block to the document and leaves an empty one.
    fn flush(&mut self, builder: &mut DocumentBuilder) {
        let block = std::mem::take(self);
        if block.is_bullet {
            builder.push_bullet(&block.text);
        } else {
            builder.push_paragraph(&block.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_recognized_by_capitals_underlines_and_usual_titles() {
        let text = "Mara Lindqvist\n==============\nGothenburg\n\nCAREER GOALS\nShip.\n\nPet Projects\n------------\n* one\n  goes on\n* two\n\nSkills:\nRust, Go\n";
        let document = parse(text).build("cv").unwrap();
        let sections: Vec<_> =
            document.sections.iter().map(|section| (section.title.as_str(), section.text.as_str())).collect();
        let expected = [
            ("About", "Gothenburg"),
            ("CAREER GOALS", "Ship."),
            ("Pet Projects", "- one goes on\n- two"),
            ("Skills", "Rust, Go"),
        ];
        assert_eq!(sections, expected);
        assert_eq!(document.name, "Mara Lindqvist");
    }

    #[test]
    fn wrapped_lines_are_joined_and_short_lines_are_not() {
        let long = "x".repeat(70);
        let document = parse(&format!("SUMMARY\n\n{long}\nthe end\n\nAcme\nEngineer\n")).build("cv").unwrap();
        assert_eq!(document.sections[0].text, format!("{long} the end\nAcme\nEngineer"));
    }

    #[test]
    fn text_without_headings_becomes_one_section() {
        let document = parse("i write code at 3 in the night\nand sleep by day\n").build("cv").unwrap();
        assert_eq!(document.sections.len(), 1);
        assert_eq!(document.name, "cv");
    }
}
