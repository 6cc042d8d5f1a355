//! Finds columns that are read one after the other, such as a sidebar.
//!
//! Does not split text that is read across, such as entries with dates at the margin.

use super::{Fragment, Row, build_rows};

/// Columns have at least this many rows. Fewer are a table or chance.
const MIN_ROWS: usize = 8;
const MIN_ROWS_PER_SIDE: usize = 5;

/// Half the width of the empty strip between two columns, in points.
const HALF_GUTTER: f64 = 4.0;

/// Page widths, in points, for which columns are searched. A page has about 600 points.
const PLAUSIBLE_WIDTHS: std::ops::Range<f64> = 50.0..5000.0;

/// The empty strip between two columns.
#[derive(Clone, Copy)]
struct Gutter {
    /// The first row next to the gutter.
    start: usize,
    /// The first row below it.
    end: usize,
    /// The horizontal centre, in points.
    x: f64,
}

/// Splits a page into columns in reading order, each from top to bottom. Splits the columns again,
/// at most `max_depth` levels deep.
pub(super) fn split_columns(rows: Vec<Row>, max_depth: u8) -> Vec<Vec<Row>> {
    let Some(gutter) = find_gutter(&rows).filter(|_| max_depth > 0) else { return vec![rows] };
    let (mut above, mut left, mut right, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        if index < gutter.start {
            above.push(row);
        } else if index >= gutter.end {
            below.push(row);
        } else {
            let (row_left, row_right): (Vec<_>, Vec<_>) =
                row.fragments.into_iter().partition(|fragment| fragment.left < gutter.x);
            left.extend(row_left);
            right.extend(row_right);
        }
    }
    let mut columns = vec![above];
    // The baselines of the two sides can differ, so each side gets rows of its own.
    for side in [left, right] {
        columns.extend(split_columns(build_rows(side), max_depth - 1));
    }
    columns.extend(split_columns(below, max_depth - 1));
    columns.retain(|rows| !rows.is_empty());
    columns
}

/// Returns the longest gutter with a column on both sides.
fn find_gutter(rows: &[Row]) -> Option<Gutter> {
    let fragments = || rows.iter().flat_map(|row| &row.fragments);
    let left = fragments().map(|fragment| fragment.left).fold(f64::MAX, f64::min);
    let right = fragments().map(|fragment| fragment.right).fold(f64::MIN, f64::max);
    let width = right - left;
    if !PLAUSIBLE_WIDTHS.contains(&width) {
        return None;
    }
    let mut longest: Option<Gutter> = None;
    for step in 0..=100 {
        let x = left + width * (0.15 + 0.7 * f64::from(step) / 100.0);
        let crosses_gutter = |row: &Row| {
            let mut fragments = row.fragments.iter();
            fragments.any(|fragment| fragment.left < x + HALF_GUTTER && fragment.right > x - HALF_GUTTER)
        };
        let mut start = 0;
        for end in 0..=rows.len() {
            if rows.get(end).is_some_and(|row| !crosses_gutter(row)) {
                continue;
            }
            let beside_gutter = rows.get(start..end).unwrap_or_default();
            if beside_gutter.len() >= MIN_ROWS
                && longest.is_none_or(|longest| longest.end - longest.start < beside_gutter.len())
                && are_columns(beside_gutter, x)
            {
                longest = Some(Gutter { start, end, x });
            }
            start = end + 1;
        }
    }
    longest
}

/// The text on one side of a gutter.
#[derive(Default)]
struct Side {
    glyph_count: usize,
    row_count: usize,
}

/// Returns true if both sides have enough text to be columns.
///
/// A small side whose baselines match those of the other side is not a column: it has labels or
/// dates of the other side's lines.
fn are_columns(rows: &[Row], x: f64) -> bool {
    let (mut left, mut right, mut level_rows) = (Side::default(), Side::default(), 0_usize);
    for row in rows {
        let (left_fragments, right_fragments): (Vec<&Fragment>, Vec<&Fragment>) =
            row.fragments.iter().partition(|fragment| fragment.left < x);
        for (side, fragments) in [(&mut left, &left_fragments), (&mut right, &right_fragments)] {
            side.glyph_count += fragments.iter().map(|fragment| fragment.glyphs.len()).sum::<usize>();
            side.row_count += usize::from(!fragments.is_empty());
        }
        let is_level = left_fragments
            .iter()
            .any(|l| right_fragments.iter().any(|r| (l.baseline - r.baseline).abs() < 0.7));
        level_rows += usize::from(is_level);
    }
    let fewer_rows = left.row_count.min(right.row_count);
    if fewer_rows < MIN_ROWS_PER_SIDE {
        return false;
    }
    let is_mostly_level = level_rows * 10 >= fewer_rows * 6;
    let min_percent = if is_mostly_level { 40 } else { 12 };
    let smaller = left.glyph_count.min(right.glyph_count);
    smaller * 100 >= (left.glyph_count + right.glyph_count) * min_percent
}
