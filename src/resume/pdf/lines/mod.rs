//! Puts the glyphs of a page into lines in reading order: words by their gaps, lines by their baselines, columns one after
//! the other.

mod columns;
mod words;

use super::glyphs::Glyph;

/// One line of one column. Places are in points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Pieces that stand far apart (an employer and, at the margin, the dates) are separated by ` | `.
    pub(super) text: String,
    /// The first piece.
    pub(super) lead: String,
    /// Whether the first piece is bold throughout.
    pub(super) bold: bool,
    pub(super) pieces: usize,
    pub(super) x: f64,
    pub(super) end: f64,
    pub(super) y: f64,
    pub(super) size: f64,
    /// The left and right edge of the column.
    pub(super) column: (f64, f64),
}

/// Glyphs that follow each other on the page without a jump.
#[derive(Debug, Clone)]
struct Fragment {
    glyphs: Vec<Glyph>,
    x: f64,
    end: f64,
    y: f64,
    size: f64,
}

/// Fragments on one baseline, from left to right.
#[derive(Debug, Clone)]
struct Row {
    y: f64,
    size: f64,
    fragments: Vec<Fragment>,
}

/// A gap of this many font heights separates pieces; justified text stays below one.
const PIECE_GAP: f64 = 2.0;

/// Baselines closer than this part of the font height are one line: superscripts rise by a third, lines stand 1.1 apart.
const SAME_LINE: f64 = 0.42;

pub(super) fn lines(glyphs: Vec<Glyph>) -> Vec<Line> {
    let mut out = Vec::new();
    for rows in columns::split(rows(fragments(glyphs)), 2) {
        let edges = |row: &Row| row.fragments.iter().map(|it| (it.x, it.end)).collect::<Vec<_>>();
        let column = rows
            .iter()
            .flat_map(edges)
            .fold((f64::MAX, f64::MIN), |(left, right), (x, end)| (left.min(x), right.max(end)));
        out.extend(rows.into_iter().filter_map(|row| words::line(row, column)));
    }
    out
}

fn fragments(glyphs: Vec<Glyph>) -> Vec<Fragment> {
    let mut out: Vec<Fragment> = Vec::new();
    for glyph in glyphs {
        let blank = glyph.text.trim().is_empty();
        if let Some(last) = out.last_mut()
            && (glyph.y - last.y).abs() < SAME_LINE * last.size.max(glyph.size)
            && glyph.x > last.end - last.size
            && glyph.x < last.end + PIECE_GAP * last.size
        {
            // Blanks at the end of a line would make it seem to touch the next column.
            if !blank {
                last.end = last.end.max(glyph.end);
                last.size = last.size.max(glyph.size);
            }
            last.glyphs.push(glyph);
        } else if !blank {
            out.push(Fragment {
                x: glyph.x,
                end: glyph.end,
                y: glyph.y,
                size: glyph.size,
                glyphs: vec![glyph],
            });
        }
    }
    out
}

/// From the top of the page to its end.
fn rows(mut fragments: Vec<Fragment>) -> Vec<Row> {
    // Larger text first at the same height, so that its baseline is the row's and not the superscript's.
    fragments.sort_by(|a, b| b.y.total_cmp(&a.y).then(b.size.total_cmp(&a.size)));
    let mut rows: Vec<Row> = Vec::new();
    for fragment in fragments {
        match rows.last_mut() {
            Some(row) if (row.y - fragment.y).abs() < SAME_LINE * row.size.max(fragment.size) => {
                if fragment.size > row.size {
                    (row.y, row.size) = (fragment.y, fragment.size);
                }
                row.fragments.push(fragment);
            }
            _ => rows.push(Row { y: fragment.y, size: fragment.size, fragments: vec![fragment] }),
        }
    }
    for row in &mut rows {
        row.fragments.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::resume::pdf::text_operators::Style;

    /// Every character half as wide as it is high, a blank included.
    pub(crate) fn type_at(text: &str, x: f64, y: f64, size: f64, bold: bool) -> Vec<Glyph> {
        let step = size / 2.0;
        let glyph = |(index, character): (usize, char)| {
            let x = x + step * f64::from(u32::try_from(index).unwrap());
            let style = Style { bold, icon: false };
            Glyph { text: character.to_string(), x, end: x + step, y, size, style, tracking: 0.0 }
        };
        text.chars().enumerate().filter(|(_, character)| *character != ' ').map(glyph).collect()
    }

    #[test]
    fn words_come_from_gaps_and_lines_from_baselines() {
        let mut glyphs = type_at("second line", 10.0, 80.0, 10.0, false);
        glyphs.extend(type_at("first line", 10.0, 100.0, 10.0, true));
        glyphs.extend(type_at("2021", 300.0, 100.2, 10.0, false));
        let lines = lines(glyphs);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["first line | 2021", "second line"]);
        assert!(lines[0].bold && lines[0].lead == "first line" && !lines[1].bold);
    }

    #[test]
    fn a_sidebar_is_read_after_the_column_beside_it_and_dates_beside_their_lines() {
        let mut glyphs = type_at("Mara Lindqvist", 10.0, 700.0, 24.0, true);
        for row in 0..12 {
            let y = 600.0 - 13.0 * f64::from(row);
            glyphs.extend(type_at("main column with words", 10.0, y, 10.0, false));
            glyphs.extend(type_at("side words here", 200.0, y + 4.0, 10.0, false));
        }
        let found = lines(glyphs);
        assert_eq!(found.len(), 25);
        assert!(found[1..13].iter().all(|line| line.text == "main column with words"), "{found:?}");

        let dated =
            |row: u32| type_at("Engineer at an employer", 10.0, 600.0 - 13.0 * f64::from(row), 10.0, false);
        let dates = |row: u32| type_at("2021 - 2024", 300.0, 600.0 - 13.0 * f64::from(row), 10.0, false);
        let found = lines((0..12).flat_map(|row| [dated(row), dates(row)].concat()).collect());
        assert_eq!(found.len(), 12);
        assert_eq!(found[0].text, "Engineer at an employer | 2021 - 2024");
    }
}
