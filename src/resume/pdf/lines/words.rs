//! Turns the glyphs of a row into words and pieces.

use super::{Column, Fragment, Line, PIECE_GAP, Row};
use crate::resume::pdf::glyphs::Glyph;

/// A gap wider than this separates words. In font sizes: kerning stays below it, and the blanks of
/// condensed lines above.
const WORD_GAP: f64 = 0.1;

const PIECE_SEPARATOR: &str = " | ";

/// A text that is printed twice, at most this far apart, is in bold. In font sizes.
const DOUBLE_PRINT_DISTANCE: f64 = 0.12;

/// Builds the line of a row, or returns `None` if the row has no text.
pub(super) fn build_line(row: Row, column: Column) -> Option<Line> {
    // Within a fragment the glyphs keep the order of the file, which is right even if the font has
    // wrong widths.
    let (left, mut fragments) = (row.fragments.first()?.left, row.fragments);
    fragments.dedup_by(|second, first| is_double_print(second, first));
    let glyphs: Vec<Glyph> = fragments.into_iter().flat_map(|fragment| fragment.glyphs).collect();
    let letter_gap = spaced_out_letter_gap(&glyphs);
    let mut pieces = vec![String::new()];
    let (mut is_bold, mut last): (bool, Option<&Glyph>) = (true, None);
    for glyph in &glyphs {
        let Some(text) = visible_text(glyph) else { continue };
        if text.trim().is_empty() {
            push_blank(&mut pieces);
            continue;
        }
        let height = glyph.size.max(last.map_or(0.0, |last| last.size.min(glyph.size * 2.0)));
        let gap = last.map_or(0.0, |last| glyph.left - last.right - last.tracking.max(0.0));
        if gap > PIECE_GAP * height + letter_gap {
            pieces.push(String::new());
        } else if gap > WORD_GAP * height + letter_gap {
            push_blank(&mut pieces);
        }
        is_bold &= glyph.style.is_bold || pieces.len() > 1;
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&text);
        }
        last = Some(glyph);
    }
    let pieces: Vec<&str> =
        pieces.iter().map(|piece| piece.trim_matches([' ', '|'])).filter(|piece| !piece.is_empty()).collect();
    Some(Line {
        text: pieces.join(PIECE_SEPARATOR),
        first_piece: pieces.first().copied()?.to_owned(),
        is_bold,
        piece_count: pieces.len(),
        left,
        right: last?.right,
        baseline: row.baseline,
        size: median_size(&glyphs),
        column,
    })
}

/// Returns true if `second` repeats `first` at almost the same place, which some programs do to
/// print bold text.
fn is_double_print(second: &Fragment, first: &Fragment) -> bool {
    let second_text = second.glyphs.iter().map(|glyph| &glyph.text);
    second_text.eq(first.glyphs.iter().map(|glyph| &glyph.text))
        && (second.left - first.left).abs() < DOUBLE_PRINT_DISTANCE * first.size
}

fn push_blank(pieces: &mut [String]) {
    if let Some(piece) = pieces.last_mut().filter(|piece| !piece.is_empty() && !piece.ends_with(' ')) {
        piece.push(' ');
    }
}

/// Returns the text of a glyph. Icons of networks become labels, other icons are dropped.
fn visible_text(glyph: &Glyph) -> Option<String> {
    const NETWORKS: &[&str] = &[
        "github", "gitlab", "linkedin", "twitter", "mastodon", "orcid", "medium", "youtube", "skype", "xing",
        "kaggle",
    ];
    if glyph.style.is_icon {
        let name = glyph.text.to_lowercase();
        let name = name.split(['-', ' ']).next().unwrap_or_default();
        return NETWORKS.contains(&name).then(|| format!("{name}: "));
    }
    // A glyph that is drawn is visible, so a soft hyphen is the hyphen of a font that names it so.
    Some(glyph.text.replace('\u{AD}', "-"))
}

/// Returns the gap between the letters if the line is spaced out (`S K I L L S`), or else 0.
fn spaced_out_letter_gap(glyphs: &[Glyph]) -> f64 {
    let letters: Vec<&Glyph> = glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty()).collect();
    let mut gaps: Vec<f64> = letters
        .windows(2)
        .filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
        .map(|(first, second)| second.left - first.right - first.tracking.max(0.0))
        .collect();
    gaps.sort_by(f64::total_cmp);
    let size = median_size(glyphs);
    // Words have more than two letters, so less than half of the gaps of an ordinary line are wide.
    match gaps.get(gaps.len() / 4) {
        Some(low) if gaps.len() >= 4 && *low > WORD_GAP * size => {
            gaps.get(gaps.len() / 2).copied().unwrap_or(*low)
        }
        _ => 0.0,
    }
}

/// Returns the median font size, rounded to a tenth of a point.
fn median_size(glyphs: &[Glyph]) -> f64 {
    let mut sizes: Vec<f64> =
        glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty()).map(|glyph| glyph.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).map_or(0.0, |size| (size * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use crate::resume::pdf::lines::arrange;
    use crate::resume::pdf::lines::tests::{Weight, glyphs_at};

    #[test]
    fn spaced_out_letters_are_joined_to_words() {
        let glyphs = glyphs_at("S K I L L S   H E R E", 10.0, 10.0, 10.0, Weight::Regular);
        assert_eq!(arrange(glyphs)[0].text, "SKILLS HERE");
    }

    #[test]
    fn text_printed_twice_is_read_once() {
        let mut glyphs = glyphs_at("Halden", 10.0, 10.0, 10.0, Weight::Regular);
        glyphs.extend(glyphs_at("Halden", 10.3, 10.0, 10.0, Weight::Regular));
        assert_eq!(arrange(glyphs)[0].text, "Halden");
    }

    #[test]
    fn icons_of_networks_become_labels_and_others_are_dropped() {
        let mut glyphs = glyphs_at("xx mara", 10.0, 10.0, 10.0, Weight::Regular);
        for (glyph, name) in glyphs.iter_mut().zip(["HOUSE-CHIMNEY", "GITHUB-SQUARE"]) {
            glyph.style.is_icon = true;
            glyph.text = name.to_owned();
        }
        assert_eq!(arrange(glyphs)[0].text, "github: mara");
    }
}
