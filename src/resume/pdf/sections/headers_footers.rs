//! Removes page numbers and running headers and footers.

use std::collections::HashMap;

use crate::resume::pdf::lines::Line;

/// Headers and footers are at most this many lines.
const MAX_LINES: usize = 2;

/// Words that can be in a page number, in English and German.
const PAGE_NUMBER_WORDS: [&str; 5] = ["page", "of", "seite", "von", "p"];

/// Removes the headers and footers of all pages.
pub(super) fn remove(pages: Vec<Vec<Line>>) -> Vec<Vec<Line>> {
    let page_counts = count_pages_by_key(&pages);
    let is_running = |line: &Line| {
        page_counts.get(&repetition_key(line)).is_some_and(|count| *count > 1) || is_page_number(&line.text)
    };
    let remove_from = |(index, page): (usize, Vec<Line>)| {
        let margins = Margins::from_page(&page);
        let is_header_or_footer = |line: &Line| {
            // The first page has the name at its top. Headers of later pages repeat it.
            let is_in_margin = line.baseline <= margins.bottom || (index > 0 && line.baseline >= margins.top);
            is_in_margin && is_running(line)
        };
        page.into_iter().filter(|line| !is_header_or_footer(line)).collect()
    };
    pages.into_iter().enumerate().map(remove_from).collect()
}

/// Counts on how many pages each line occurs at the top or bottom.
fn count_pages_by_key(pages: &[Vec<Line>]) -> HashMap<String, usize> {
    let mut page_counts: HashMap<String, usize> = HashMap::new();
    for page in pages {
        let margins = Margins::from_page(page);
        let mut keys: Vec<String> = page
            .iter()
            .filter(|line| line.baseline >= margins.top || line.baseline <= margins.bottom)
            .map(repetition_key)
            .collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            *page_counts.entry(key).or_default() += 1;
        }
    }
    page_counts
}

/// The areas of a page in which headers and footers are.
struct Margins {
    /// Baselines at this height or above are in the top margin.
    top: f64,
    /// Baselines at this height or below are in the bottom margin.
    bottom: f64,
}

impl Margins {
    fn from_page(page: &[Line]) -> Self {
        let mut baselines: Vec<f64> = page.iter().map(|line| line.baseline).collect();
        baselines.sort_by(f64::total_cmp);
        baselines.dedup_by(|a, b| (*a - *b).abs() < 1.0);
        let bottom = baselines.get(MAX_LINES - 1).or(baselines.last());
        let top = baselines.iter().rev().nth(MAX_LINES - 1).or(baselines.first());
        Self { top: top.copied().unwrap_or_default(), bottom: bottom.copied().unwrap_or_default() }
    }
}

/// Returns a key that is the same for repetitions of a line: position, size, and text without
/// digits.
fn repetition_key(line: &Line) -> String {
    let text: String = line.text.chars().filter(|character| !character.is_ascii_digit()).collect();
    format!("{:.0} {:.0} {text}", line.baseline, line.size)
}

/// Recognizes `3`, `- 3 -`, `3/4` and `Page 3 of 4`, the last also after other text in the line.
fn is_page_number(text: &str) -> bool {
    let last_piece = text.rsplit(" | ").next().unwrap_or(text).to_lowercase();
    let words: Vec<&str> = last_piece
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty() && !PAGE_NUMBER_WORDS.contains(word))
        .collect();
    let are_numbers =
        words.iter().all(|word| word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let is_labelled = last_piece.contains("page") || last_piece.contains("seite");
    are_numbers && (1..=2).contains(&words.len()) && (is_labelled || !text.contains(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::pdf::lines::Column;

    fn page(lines: &[(&str, f64)]) -> Vec<Line> {
        let line = |&(text, baseline): &(&str, f64)| Line {
            text: text.into(),
            first_piece: text.into(),
            is_bold: false,
            piece_count: 1,
            left: 0.0,
            right: 100.0,
            baseline,
            size: 10.0,
            column: Column { left: 0.0, right: 100.0 },
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn repeated_headers_and_footers_are_removed_except_the_name_on_the_first_page() {
        let first = page(&[("Mara", 800.0), ("Work", 700.0), ("Acme", 600.0), ("2026 Mara 1", 20.0)]);
        let second = page(&[("Mara", 800.0), ("Skills", 700.0), ("Acme", 590.0), ("2026 Mara 2", 20.0)]);
        let texts: Vec<Vec<String>> = remove(vec![first, second])
            .into_iter()
            .map(|page| page.into_iter().map(|line| line.text).collect())
            .collect();
        assert_eq!(texts, [vec!["Mara", "Work", "Acme"], vec!["Skills", "Acme"]]);
    }

    #[test]
    fn page_numbers_are_recognized_without_repetition() {
        for text in ["3", "- 3 -", "Page 1 of 2", "Mara | Resume | Page 1 of 1", "1/2"] {
            assert!(is_page_number(text), "{text}");
        }
        for text in ["2021", "Python 3 | 5 years", "B.Sc. | 12"] {
            assert!(!is_page_number(text), "{text}");
        }
    }
}
