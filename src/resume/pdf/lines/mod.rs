//! Arranges the glyphs of a page into lines in reading order: lines by baselines, words by gaps,
//! and columns one after the other.

mod columns;
mod words;

use super::glyphs::Glyph;

/// A line of one column. Coordinates and sizes are in points, as in [`Glyph`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Pieces with a wide gap between them, such as an employer and the dates at the margin, are
    /// separated by ` | `.
    pub(super) text: String,
    pub(super) first_piece: String,
    /// True if the whole first piece is bold.
    pub(super) is_bold: bool,
    pub(super) piece_count: usize,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) baseline: f64,
    pub(super) size: f64,
    pub(super) column: Column,
}

/// The horizontal extent of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    pub(super) left: f64,
    pub(super) right: f64,
}

/// Glyphs that follow each other in the file and on the page.
#[derive(Debug, Clone)]
struct Fragment {
    glyphs: Vec<Glyph>,
    left: f64,
    right: f64,
    baseline: f64,
    size: f64,
}

/// The fragments on one baseline, from left to right.
#[derive(Debug, Clone)]
struct Row {
    baseline: f64,
    size: f64,
    fragments: Vec<Fragment>,
}

/// A gap wider than this separates pieces. In font sizes; justified text stays below one.
const PIECE_GAP: f64 = 2.0;

/// Baselines closer than this belong to one row. In font sizes: a superscript rises by a third, and
/// lines are 1.1 apart.
const SAME_ROW_DISTANCE: f64 = 0.42;

/// How often columns are searched for nested columns.
const MAX_COLUMN_DEPTH: u8 = 2;

/// Arranges the glyphs, given in the order of the file.
pub(super) fn arrange(glyphs: Vec<Glyph>) -> Vec<Line> {
    let mut lines = Vec::new();
    for rows in columns::split_columns(build_rows(build_fragments(glyphs)), MAX_COLUMN_DEPTH) {
        let fragments = || rows.iter().flat_map(|row| &row.fragments);
        let column = Column {
            left: fragments().map(|fragment| fragment.left).fold(f64::MAX, f64::min),
            right: fragments().map(|fragment| fragment.right).fold(f64::MIN, f64::max),
        };
        lines.extend(rows.into_iter().filter_map(|row| words::build_line(row, column)));
    }
    lines
}

fn build_fragments(glyphs: Vec<Glyph>) -> Vec<Fragment> {
    let mut fragments: Vec<Fragment> = Vec::new();
    for glyph in glyphs {
        let is_blank = glyph.text.trim().is_empty();
        if let Some(last) = fragments.last_mut()
            && (glyph.baseline - last.baseline).abs() < SAME_ROW_DISTANCE * last.size.max(glyph.size)
            && glyph.left > last.right - last.size
            && glyph.left < last.right + PIECE_GAP * last.size
        {
            // Blanks at the end of a line would extend it into the next column.
            if !is_blank {
                last.right = last.right.max(glyph.right);
                last.size = last.size.max(glyph.size);
            }
            last.glyphs.push(glyph);
        } else if !is_blank {
            fragments.push(Fragment {
                left: glyph.left,
                right: glyph.right,
                baseline: glyph.baseline,
                size: glyph.size,
                glyphs: vec![glyph],
            });
        }
    }
    fragments
}

/// Groups the fragments into rows, from the top of the page to the bottom.
fn build_rows(mut fragments: Vec<Fragment>) -> Vec<Row> {
    // At the same height larger text comes first, so that a row gets its baseline from the text and
    // not from a superscript.
    fragments.sort_by(|a, b| b.baseline.total_cmp(&a.baseline).then(b.size.total_cmp(&a.size)));
    let mut rows: Vec<Row> = Vec::new();
    for fragment in fragments {
        match rows.last_mut() {
            Some(row)
                if (row.baseline - fragment.baseline).abs()
                    < SAME_ROW_DISTANCE * row.size.max(fragment.size) =>
            {
                if fragment.size > row.size {
                    (row.baseline, row.size) = (fragment.baseline, fragment.size);
                }
                row.fragments.push(fragment);
            }
            _ => {
                rows.push(Row { baseline: fragment.baseline, size: fragment.size, fragments: vec![fragment] })
            }
        }
    }
    for row in &mut rows {
        row.fragments.sort_by(|a, b| a.left.total_cmp(&b.left));
    }
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::resume::pdf::text_operators::TextStyle;

    #[derive(Clone, Copy, PartialEq)]
    pub(crate) enum Weight {
        Regular,
        Bold,
    }

    /// Glyphs of a font in which every character, also a blank, is half as wide as high.
    pub(crate) fn glyphs_at(text: &str, left: f64, baseline: f64, size: f64, weight: Weight) -> Vec<Glyph> {
        let width = size / 2.0;
        let glyph = |(index, character): (usize, char)| {
            let left = left + width * f64::from(u32::try_from(index).unwrap());
            let style = TextStyle { is_bold: weight == Weight::Bold, is_icon: false };
            let text = character.to_string();
            Glyph { text, left, right: left + width, baseline, size, style, tracking: 0.0 }
        };
        text.chars().enumerate().filter(|(_, character)| *character != ' ').map(glyph).collect()
    }

    #[test]
    fn gaps_separate_words_and_baselines_separate_lines() {
        let mut glyphs = glyphs_at("second line", 10.0, 80.0, 10.0, Weight::Regular);
        glyphs.extend(glyphs_at("first line", 10.0, 100.0, 10.0, Weight::Bold));
        glyphs.extend(glyphs_at("2021", 300.0, 100.2, 10.0, Weight::Regular));
        let lines = arrange(glyphs);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["first line | 2021", "second line"]);
        assert!(lines[0].is_bold && lines[0].first_piece == "first line" && !lines[1].is_bold);
    }

    #[test]
    fn a_sidebar_is_read_after_the_main_column() {
        let mut glyphs = glyphs_at("Mara Lindqvist", 10.0, 700.0, 24.0, Weight::Bold);
        for row in 0..12 {
            let baseline = 600.0 - 13.0 * f64::from(row);
            glyphs.extend(glyphs_at("main column with words", 10.0, baseline, 10.0, Weight::Regular));
            glyphs.extend(glyphs_at("side words here", 200.0, baseline + 4.0, 10.0, Weight::Regular));
        }
        let lines = arrange(glyphs);
        assert_eq!(lines.len(), 25);
        assert!(lines[1..13].iter().all(|line| line.text == "main column with words"), "{lines:?}");
    }

    #[test]
    fn dates_at_the_margin_stay_in_their_lines() {
        let row_glyphs = |row: u32| {
            let baseline = 600.0 - 13.0 * f64::from(row);
            let mut glyphs = glyphs_at("Engineer at an employer", 10.0, baseline, 10.0, Weight::Regular);
            glyphs.extend(glyphs_at("2021 - 2024", 300.0, baseline, 10.0, Weight::Regular));
            glyphs
        };
        let lines = arrange((0..12).flat_map(row_glyphs).collect());
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[0].text, "Engineer at an employer | 2021 - 2024");
    }
}
