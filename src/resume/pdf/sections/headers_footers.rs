//! Takes page numbers and running headers and footers off the pages.

use std::collections::HashMap;

use crate::resume::pdf::lines::Line;

/// How many lines at either end of a page can be furniture.
const AT_EITHER_END: usize = 2;

pub(super) fn without(pages: Vec<Vec<Line>>) -> Vec<Vec<Line>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for page in &pages {
        let (top, bottom) = ends(page);
        let mut on_this: Vec<String> =
            page.iter().filter(|line| line.y >= top || line.y <= bottom).map(pattern).collect();
        on_this.sort();
        on_this.dedup();
        for pattern in on_this {
            *seen.entry(pattern).or_default() += 1;
        }
    }
    let repeats = |line: &Line| seen.get(&pattern(line)).is_some_and(|count| *count > 1);
    let clean = |(index, page): (usize, Vec<Line>)| {
        let (top, bottom) = ends(&page);
        let keep = |line: &Line| {
            let furniture = line.y <= bottom && (repeats(line) || is_page_number(&line.text));
            // At the top of the first page stands the name itself, not its repetition.
            !(furniture || (index > 0 && line.y >= top && (repeats(line) || is_page_number(&line.text))))
        };
        page.into_iter().filter(keep).collect()
    };
    pages.into_iter().enumerate().map(clean).collect()
}

/// Baselines at or above the first are at the top of the page, at or below the second at its end.
fn ends(page: &[Line]) -> (f64, f64) {
    let mut heights: Vec<f64> = page.iter().map(|line| line.y).collect();
    heights.sort_by(f64::total_cmp);
    heights.dedup_by(|a, b| (*a - *b).abs() < 1.0);
    let bottom = heights.get(AT_EITHER_END - 1).or(heights.last()).copied().unwrap_or_default();
    let top = heights.iter().rev().nth(AT_EITHER_END - 1).or(heights.first()).copied().unwrap_or_default();
    (top, bottom)
}

/// The line without what changes from page to page, and its place.
fn pattern(line: &Line) -> String {
    let words: String = line.text.chars().filter(|character| !character.is_ascii_digit()).collect();
    format!("{:.0} {:.0} {words}", line.y, line.size)
}

/// `3`, `- 3 -`, `3/4`, `Page 3 of 4`, with whatever stands on the line before it if that is only the page's label.
fn is_page_number(text: &str) -> bool {
    let last = text.rsplit(" | ").next().unwrap_or(text).to_lowercase();
    let words: Vec<&str> = last
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty() && !["page", "of", "seite", "von", "p"].contains(word))
        .collect();
    let numbers = words.iter().all(|word| word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let labelled = last.contains("page") || last.contains("seite");
    numbers && (1..=2).contains(&words.len()) && (labelled || !text.contains(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[(&str, f64)]) -> Vec<Line> {
        let line = |&(text, y): &(&str, f64)| Line {
            text: text.into(),
            lead: text.into(),
            bold: false,
            pieces: 1,
            x: 0.0,
            end: 100.0,
            y,
            size: 10.0,
            column: (0.0, 100.0),
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn what_repeats_at_the_ends_of_pages_is_left_out_but_the_name_stays() {
        let one = page(&[("Mara", 800.0), ("Work", 700.0), ("Acme", 600.0), ("2026 Mara 1", 20.0)]);
        let two = page(&[("Mara", 800.0), ("Skills", 700.0), ("Acme", 590.0), ("2026 Mara 2", 20.0)]);
        let texts: Vec<Vec<String>> = without(vec![one, two])
            .into_iter()
            .map(|page| page.into_iter().map(|line| line.text).collect())
            .collect();
        assert_eq!(texts, [vec!["Mara", "Work", "Acme"], vec!["Skills", "Acme"]]);
    }

    #[test]
    fn page_numbers_are_known_on_a_single_page_too() {
        for text in ["3", "- 3 -", "Page 1 of 2", "Mara | Resume | Page 1 of 1", "1/2"] {
            assert!(is_page_number(text), "{text}");
        }
        for text in ["2021", "Python 3 | 5 years", "B.Sc. | 12"] {
            assert!(!is_page_number(text), "{text}");
        }
    }
}
