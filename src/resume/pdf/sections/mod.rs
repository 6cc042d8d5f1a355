//! Turns the lines of all pages into sections: removes headers and footers, recognizes headings by
//! size, weight and usual titles, and joins wrapped lines.

mod headers_footers;
mod paragraphs;

use super::lines::Line;
use crate::resume::document_builder::DocumentBuilder;
use crate::resume::headings::{
    SectionKind, can_be_name, is_heading_in_capitals, is_section_title, section_kind, strip_bullet,
};
use paragraphs::{OpenParagraph, Words};

/// The name is searched in this many lines.
const NAME_WITHIN_LINES: usize = 100;

/// Up to this line the name may have the size of a heading. Further down, which is where it is when
/// a sidebar is read before it, the name must be larger.
const NAME_AT_TOP_LINES: usize = 12;

/// Headings have at most this many words.
const MAX_HEADING_WORDS: usize = 9;

/// Headings of entries have at most this many words in their first piece.
const MAX_ENTRY_WORDS: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineRole {
    Section,
    Subsection,
    /// The heading of an employer, school or project.
    Entry,
    Text,
}

pub(super) fn build_document(pages: Vec<Vec<Line>>) -> DocumentBuilder {
    let pages = headers_footers::remove(pages);
    let lines: Vec<&Line> = pages.iter().flatten().collect();
    let style = HeadingStyle::from_lines(&lines);
    let name_index = find_name(&lines, &style);
    let mut writer = SectionWriter::new(Words::from_lines(&lines));
    if let Some(line) = name_index.and_then(|index| lines.get(index)) {
        writer.builder.set_name(&line.text);
    }
    for (index, line) in lines.iter().enumerate() {
        if Some(index) != name_index {
            writer.push_line(line, style.role(line, writer.is_in_entry_section));
        }
    }
    writer.finish()
}

/// Returns the index of the line with the person's name: the largest line that can be a name.
fn find_name(lines: &[&Line], style: &HeadingStyle) -> Option<usize> {
    let is_large = |index: usize, line: &Line| {
        let min_ratio = if index < NAME_AT_TOP_LINES { 1.1 } else { 1.5 };
        line.size > style.body_size * min_ratio
    };
    lines
        .iter()
        .take(NAME_WITHIN_LINES)
        .enumerate()
        .filter(|(index, line)| line.piece_count == 1 && is_large(*index, line) && can_be_name(&line.text))
        .max_by(|(i, a), (j, b)| a.size.total_cmp(&b.size).then(j.cmp(i)))
        .map(|(index, _)| index)
        .or_else(|| lines.first().filter(|line| can_be_name(&line.text)).map(|_| 0))
}

/// Writes lines to the document in reading order.
struct SectionWriter {
    builder: DocumentBuilder,
    words: Words,
    open_paragraph: Option<OpenParagraph>,
    /// Set in a section of employers, schools or projects.
    is_in_entry_section: bool,
    /// Set in a section that has subsections.
    has_subsections: bool,
}

impl SectionWriter {
    fn new(words: Words) -> Self {
        Self {
            builder: DocumentBuilder::default(),
            words,
            open_paragraph: None,
            is_in_entry_section: false,
            has_subsections: false,
        }
    }

    fn push_line(&mut self, line: &Line, role: LineRole) {
        if role != LineRole::Text {
            self.finish_paragraph();
        }
        match role {
            LineRole::Section => {
                self.is_in_entry_section = section_kind(&line.text) == Some(SectionKind::Entries);
                self.has_subsections = false;
                self.builder.push_heading(1, &line.text);
            }
            LineRole::Subsection => {
                self.has_subsections = true;
                self.builder.push_heading(2, &line.text);
            }
            LineRole::Entry => {
                let level = if self.has_subsections { 3 } else { 2 };
                self.builder.push_heading(level, &line.text);
            }
            LineRole::Text => match &mut self.open_paragraph {
                Some(paragraph) if paragraph.is_continued_by(line) => paragraph.push_line(line, &self.words),
                _ => {
                    self.finish_paragraph();
                    self.open_paragraph = Some(OpenParagraph::from_line(line));
                }
            },
        }
    }

    fn finish_paragraph(&mut self) {
        if let Some(paragraph) = self.open_paragraph.take() {
            paragraph.finish(&mut self.builder);
        }
    }

    fn finish(mut self) -> DocumentBuilder {
        self.finish_paragraph();
        self.builder
    }
}

/// How this document formats its headings.
struct HeadingStyle {
    /// The size of most of the text, in points.
    body_size: f64,
    /// The style of the lines that are usual section titles, or `None` if there are none.
    section: Option<SectionTitleStyle>,
}

#[derive(Clone, Copy)]
struct SectionTitleStyle {
    /// In points.
    size: f64,
    is_bold: bool,
}

impl HeadingStyle {
    fn from_lines(lines: &[&Line]) -> Self {
        let body_size = most_frequent_size(lines.iter().map(|line| (line.size, line.text.len())));
        let titles: Vec<&&Line> =
            lines.iter().filter(|line| line.piece_count == 1 && is_section_title(&line.text)).collect();
        let size = most_frequent_size(titles.iter().map(|line| (line.size, 1)));
        let is_bold = titles.iter().filter(|line| line.is_bold).count() * 2 > titles.len();
        let section = (!titles.is_empty()).then_some(SectionTitleStyle { size, is_bold });
        Self { body_size, section }
    }

    fn role(&self, line: &Line, is_in_entry_section: bool) -> LineRole {
        if strip_bullet(&line.text).is_some() {
            LineRole::Text
        } else if self.is_section(line) {
            LineRole::Section
        } else if is_short_heading(line) && line.size > self.body_size * 1.18 {
            let is_section_size = self.section.is_none_or(|section| line.size > section.size * 0.97);
            if is_section_size { LineRole::Section } else { LineRole::Subsection }
        } else if is_in_entry_section && is_entry(line) {
            LineRole::Entry
        } else {
            LineRole::Text
        }
    }

    /// Returns true if the line is a usual title that stands out, or looks like the usual titles
    /// do.
    fn is_section(&self, line: &Line) -> bool {
        let is_emphasized = line.is_bold
            || line.size > self.body_size * 1.05
            || is_heading_in_capitals(&line.text)
            || line.text.ends_with(':');
        let are_titles_plain =
            self.section.is_some_and(|section| !section.is_bold && section.size <= self.body_size * 1.05);
        let is_title = line.piece_count == 1 && is_section_title(&line.text);
        (is_title && (is_emphasized || are_titles_plain))
            || (is_short_heading(line) && self.is_formatted_as_section(line))
    }

    fn is_formatted_as_section(&self, line: &Line) -> bool {
        self.section.is_some_and(|SectionTitleStyle { size, is_bold }| {
            (line.size - size).abs() <= size * 0.03
                && line.is_bold == is_bold
                && (size > self.body_size * 1.12 || (is_bold && is_heading_in_capitals(&line.text)))
        })
    }
}

/// Returns true if the line is one piece and not a sentence.
fn is_short_heading(line: &Line) -> bool {
    let is_sentence =
        line.text.ends_with(['.', ',', ';']) || line.text.split_whitespace().count() > MAX_HEADING_WORDS;
    line.piece_count == 1 && !is_sentence
}

/// Returns true if the line is in bold at the left edge of its column, as headings of entries are.
fn is_entry(line: &Line) -> bool {
    let is_at_left_edge = line.left - line.column.left < line.size;
    let words = line.first_piece.split_whitespace().count();
    line.is_bold && is_at_left_edge && words <= MAX_ENTRY_WORDS && !line.first_piece.ends_with([',', ':'])
}

/// Returns the size with the greatest total weight, in steps of half a point. Among equal weights,
/// the smallest size.
fn most_frequent_size(weighted_sizes: impl Iterator<Item = (f64, usize)>) -> f64 {
    let mut weights = std::collections::BTreeMap::<u64, (usize, f64)>::new();
    for (size, weight) in weighted_sizes {
        // The bits of positive numbers have the same order as the numbers.
        let entry = weights.entry((size * 2.0).round().to_bits()).or_insert((0, size));
        entry.0 += weight;
    }
    weights.into_values().rev().max_by_key(|(weight, _)| *weight).map_or(0.0, |(_, size)| size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::pdf::lines::arrange;
    use crate::resume::pdf::lines::tests::Weight::{Bold, Regular};
    use crate::resume::pdf::lines::tests::glyphs_at;

    #[test]
    fn headings_are_recognized_by_size_and_title_and_entries_by_weight() {
        let mut glyphs = glyphs_at("Mara Lindqvist", 200.0, 700.0, 24.0, Bold);
        let mut baseline = 660.0;
        for (text, size, weight) in [
            ("Gothenburg", 10.0, Regular),
            ("Experience", 14.0, Bold),
            ("Halden Pay", 10.0, Bold),
            ("• Led the rewrite of the whole ledger of the bank to Rust ser-", 10.0, Regular),
            ("  vices in a year", 10.0, Regular),
            ("Pet Things", 14.0, Bold),
            ("Tide tables.", 10.0, Regular),
        ] {
            baseline -= size * 1.4;
            glyphs.extend(glyphs_at(text, 50.0, baseline, size, weight));
        }
        let document = build_document(vec![arrange(glyphs)]).build("cv").unwrap();
        let sections: Vec<_> = document
            .sections
            .iter()
            .map(|section| (section.title.as_str(), section.level, section.text.as_str()))
            .collect();
        let expected = [
            ("About", 1, "Gothenburg"),
            ("Experience", 1, ""),
            ("Halden Pay", 2, "- Led the rewrite of the whole ledger of the bank to Rust services in a year"),
            ("Pet Things", 1, "Tide tables."),
        ];
        assert_eq!(sections, expected);
        assert_eq!(document.name, "Mara Lindqvist");
    }
}
