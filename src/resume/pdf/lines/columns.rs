//! Finds columns that are read one after the other, such as a sidebar, and leaves alone those that are read across, such as
//! dates at the margin.

use super::{Fragment, Row};

/// Fewer rows than this are a table or chance.
const MIN_ROWS: usize = 8;
const MIN_ROWS_A_SIDE: usize = 5;

/// Half of the empty strip between two columns, in points.
const HALF_GUTTER: f64 = 4.0;

/// The columns of the page in reading order, each from top to end; `depth` is how often a column may be split again.
pub(super) fn split(rows: Vec<Row>, depth: u8) -> Vec<Vec<Row>> {
    let Some((start, end, x)) = best_gutter(&rows).filter(|_| depth > 0) else { return vec![rows] };
    let (mut above, mut left, mut right, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        if index < start {
            above.push(row);
        } else if index >= end {
            below.push(row);
        } else {
            let (l, r): (Vec<_>, Vec<_>) = row.fragments.into_iter().partition(|fragment| fragment.x < x);
            left.extend(l);
            right.extend(r);
        }
    }
    let mut out = vec![above];
    // The two sides may have lines that do not stand at the same height, so their rows are made anew.
    for side in [left, right] {
        out.extend(split(super::rows(side), depth - 1));
    }
    out.extend(split(below, depth - 1));
    out.retain(|rows| !rows.is_empty());
    out
}

/// The rows (from, to) and the place of the emptiest vertical strip that has two columns beside it.
fn best_gutter(rows: &[Row]) -> Option<(usize, usize, f64)> {
    let fragments = || rows.iter().flat_map(|row| &row.fragments);
    let left = fragments().map(|fragment| fragment.x).fold(f64::MAX, f64::min);
    let right = fragments().map(|fragment| fragment.end).fold(f64::MIN, f64::max);
    let width = right - left;
    // A page has some 600 points; anything else is nonsense and not worth a search.
    if !(50.0..5000.0).contains(&width) {
        return None;
    }
    let mut best: Option<(usize, usize, usize, f64)> = None;
    for step in 0..=100 {
        let x = left + width * (0.15 + 0.7 * f64::from(step) / 100.0);
        let crossed =
            |row: &Row| row.fragments.iter().any(|it| it.x < x + HALF_GUTTER && it.end > x - HALF_GUTTER);
        let mut start = 0;
        for end in 0..=rows.len() {
            if rows.get(end).is_some_and(|row| !crossed(row)) {
                continue;
            }
            let run = rows.get(start..end).unwrap_or_default();
            if run.len() >= MIN_ROWS
                && best.is_none_or(|(_, _, weight, _)| weight < run.len())
                && are_columns(run, x)
            {
                best = Some((start, end, run.len(), x));
            }
            start = end + 1;
        }
    }
    best.map(|(start, end, _, x)| (start, end, x))
}

/// Both sides have text of their own; where the smaller side is small, its lines must not stand level with the other's, or
/// they are labels or dates of these.
fn are_columns(rows: &[Row], x: f64) -> bool {
    let (mut sides, mut lines, mut level) = ([0_usize; 2], [0_usize; 2], 0_usize);
    for row in rows {
        let (left, right): (Vec<&Fragment>, Vec<&Fragment>) =
            row.fragments.iter().partition(|fragment| fragment.x < x);
        for ((chars, lines), fragments) in sides.iter_mut().zip(&mut lines).zip([&left, &right]) {
            *chars += fragments.iter().map(|fragment| fragment.glyphs.len()).sum::<usize>();
            *lines += usize::from(!fragments.is_empty());
        }
        level += usize::from(left.iter().any(|l| right.iter().any(|r| (l.y - r.y).abs() < 0.7)));
    }
    let ([l, r], [left_lines, right_lines]) = (sides, lines);
    let (smaller, all, fewer) = (l.min(r), l + r, left_lines.min(right_lines));
    if fewer < MIN_ROWS_A_SIDE {
        return false;
    }
    let mostly_level = level * 10 >= fewer * 6;
    smaller * 100 >= all * if mostly_level { 40 } else { 12 }
}
