//! Turns the lines of all pages into sections: page numbers away, headings by size and name, broken lines joined.

mod headers_footers;
mod paragraphs;

use super::lines::Line;
use crate::resume::document_builder::Outline;
use crate::resume::headings::{Known, after_bullet, in_capitals, known, looks_like_name};
use paragraphs::Paragraph;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Section,
    Subsection,
    /// An employer, school or project.
    Entry,
    Text,
}

pub(super) fn outline(pages: Vec<Vec<Line>>) -> Outline {
    let pages = headers_footers::without(pages);
    let lines: Vec<&Line> = pages.iter().flatten().collect();
    let style = HeadingStyle::of(&lines);
    let mut out = Outline::default();
    let name = person(&lines, &style);
    if let Some(index) = name {
        out.name(&lines.get(index).map(|line| line.text.clone()).unwrap_or_default());
    }
    let words = paragraphs::Words::of(&lines);
    let (mut open, mut in_entries, mut subsections): (Option<Paragraph>, bool, bool) = (None, false, false);
    for (index, line) in lines.iter().enumerate() {
        if Some(index) == name {
            continue;
        }
        let role = style.role(line, in_entries);
        if role != Role::Text {
            Paragraph::close(open.take(), &mut out);
        }
        match role {
            Role::Section => {
                (in_entries, subsections) = (known(&line.text) == Some(Known::Entries), false);
                out.heading(1, &line.text);
            }
            Role::Subsection => {
                subsections = true;
                out.heading(2, &line.text);
            }
            Role::Entry => out.heading(if subsections { 3 } else { 2 }, &line.text),
            Role::Text => match &mut open {
                Some(paragraph) if paragraph.takes(line) => paragraph.push(line, &words),
                _ => {
                    Paragraph::close(open.take(), &mut out);
                    open = Some(Paragraph::start(line));
                }
            },
        }
    }
    Paragraph::close(open, &mut out);
    out
}

/// The person's name: the largest line that looks like one. Past the first lines, where a sidebar is read before it, it has
/// to be larger than headings usually are.
fn person(lines: &[&Line], style: &HeadingStyle) -> Option<usize> {
    let large_enough =
        |index: usize, line: &Line| line.size > style.body * if index < 12 { 1.1 } else { 1.5 };
    lines
        .iter()
        .take(100)
        .enumerate()
        .filter(|(index, line)| line.pieces == 1 && large_enough(*index, line) && looks_like_name(&line.text))
        .max_by(|(i, a), (j, b)| a.size.total_cmp(&b.size).then(j.cmp(i)))
        .map(|(index, _)| index)
        .or_else(|| lines.first().filter(|line| looks_like_name(&line.text)).map(|_| 0))
}

/// What headings look like in this document.
struct HeadingStyle {
    /// The size most of the text has, in points.
    body: f64,
    /// The size and boldness of the well-known headings; `None` where the document has none.
    section: Option<(f64, bool)>,
}

impl HeadingStyle {
    fn of(lines: &[&Line]) -> Self {
        let body = most_frequent(lines.iter().map(|line| (line.size, line.text.len())));
        let named: Vec<&&Line> =
            lines.iter().filter(|line| line.pieces == 1 && known(&line.text).is_some()).collect();
        let size = most_frequent(named.iter().map(|line| (line.size, 1)));
        let bold = named.iter().filter(|line| line.bold).count() * 2 > named.len();
        Self { body, section: (!named.is_empty()).then_some((size, bold)) }
    }

    fn role(&self, line: &Line, in_entries: bool) -> Role {
        let words = line.text.split_whitespace().count();
        let sentence = line.text.ends_with(['.', ',', ';']) || words > 9;
        if after_bullet(&line.text).is_some() {
            return Role::Text;
        }
        let emphasised =
            line.bold || line.size > self.body * 1.05 || in_capitals(&line.text) || line.text.ends_with(':');
        let like_sections = self.section.is_some_and(|(size, bold)| {
            (line.size - size).abs() <= size * 0.03
                && line.bold == bold
                && (size > self.body * 1.12 || (bold && in_capitals(&line.text)))
        });
        let plain_style = self.section.is_some_and(|(size, bold)| !bold && size <= self.body * 1.05);
        if line.pieces == 1 && known(&line.text).is_some() && (emphasised || plain_style) {
            return Role::Section;
        }
        if line.pieces == 1 && !sentence && like_sections {
            return Role::Section;
        }
        let section_size = self.section.map_or(f64::MAX, |(size, _)| size);
        if line.pieces == 1 && !sentence && line.size > self.body * 1.18 {
            return if line.size > section_size * 0.97 || self.section.is_none() {
                Role::Section
            } else {
                Role::Subsection
            };
        }
        let at_margin = line.x - line.column.0 < line.size;
        let lead_words = line.lead.split_whitespace().count();
        if in_entries && line.bold && at_margin && lead_words <= 10 && !line.lead.ends_with([',', ':']) {
            return Role::Entry;
        }
        Role::Text
    }
}

/// The size with the greatest weight, to half a point; among equals the smaller.
fn most_frequent(sizes: impl Iterator<Item = (f64, usize)>) -> f64 {
    let mut weights = std::collections::BTreeMap::<u64, (usize, f64)>::new();
    for (size, weight) in sizes {
        // The bits of positive numbers are in the order of the numbers.
        let entry = weights.entry((size * 2.0).round().to_bits()).or_insert((0, size));
        entry.0 += weight;
    }
    weights.into_values().rev().max_by_key(|(weight, _)| *weight).map_or(0.0, |(_, size)| size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::pdf::lines::{lines, tests::type_at};

    #[test]
    fn headings_are_told_by_size_and_name_and_entries_by_boldness() {
        let mut glyphs = type_at("Mara Lindqvist", 200.0, 700.0, 24.0, true);
        let mut y = 660.0;
        let mut line = |text: &str, size: f64, bold: bool| {
            y -= size * 1.4;
            glyphs.extend(type_at(text, 50.0, y, size, bold));
        };
        line("Gothenburg", 10.0, false);
        line("Experience", 14.0, true);
        line("Halden Pay", 10.0, true);
        line("• Led the rewrite of the whole ledger of the bank to Rust ser-", 10.0, false);
        line("  vices in a year", 10.0, false);
        line("Pet Things", 14.0, true);
        line("Tide tables.", 10.0, false);
        let document = outline(vec![lines(glyphs)]).finish("cv").unwrap();
        let found: Vec<_> =
            document.sections.iter().map(|s| (s.title.as_str(), s.level, s.text.as_str())).collect();
        let wanted = [
            ("About", 1, "Gothenburg"),
            ("Experience", 1, ""),
            ("Halden Pay", 2, "- Led the rewrite of the whole ledger of the bank to Rust services in a year"),
            ("Pet Things", 1, "Tide tables."),
        ];
        assert_eq!(found, wanted);
        assert_eq!(document.name, "Mara Lindqvist");
    }
}
