//! Turns the glyphs of a row into words and pieces.

use super::{Fragment, Line, PIECE_GAP, Row};
use crate::resume::pdf::glyphs::Glyph;

/// A gap of this part of the font height separates words: kerning stays below, and blanks of squeezed lines above.
const WORD_GAP: f64 = 0.1;

const PIECE: &str = " | ";

pub(super) fn line(row: Row, column: (f64, f64)) -> Option<Line> {
    // Within a fragment the order of the file is right even where the widths of a font are not.
    let (x, mut fragments) = (row.fragments.first()?.x, row.fragments);
    fragments.dedup_by(|again, first| is_second_print(again, first));
    let glyphs: Vec<Glyph> = fragments.into_iter().flat_map(|fragment| fragment.glyphs).collect();
    let spaced_out = spaced_out_gap(&glyphs);
    let mut pieces = vec![String::new()];
    let (mut bold_lead, mut last): (bool, Option<&Glyph>) = (true, None);
    for glyph in &glyphs {
        let Some(text) = shown(glyph) else { continue };
        if text.trim().is_empty() {
            push_blank(&mut pieces);
            continue;
        }
        let height = glyph.size.max(last.map_or(0.0, |last| last.size.min(glyph.size * 2.0)));
        let gap = last.map_or(0.0, |last| glyph.x - last.end - last.tracking.max(0.0));
        if gap > PIECE_GAP * height + spaced_out {
            pieces.push(String::new());
        } else if gap > WORD_GAP * height + spaced_out {
            push_blank(&mut pieces);
        }
        bold_lead &= glyph.style.bold || pieces.len() > 1;
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&text);
        }
        last = Some(glyph);
    }
    let pieces: Vec<&str> =
        pieces.iter().map(|piece| piece.trim_matches([' ', '|'])).filter(|piece| !piece.is_empty()).collect();
    let lead = pieces.first().copied()?.to_owned();
    let end = last?.end;
    let size = usual_size(&glyphs);
    Some(Line {
        text: pieces.join(PIECE),
        lead,
        bold: bold_lead,
        pieces: pieces.len(),
        x,
        end,
        y: row.y,
        size,
        column,
    })
}

/// Some programs print text twice, a little apart, to make it bold.
fn is_second_print(again: &Fragment, first: &Fragment) -> bool {
    let texts = again.glyphs.iter().map(|glyph| &glyph.text).eq(first.glyphs.iter().map(|glyph| &glyph.text));
    texts && (again.x - first.x).abs() < 0.12 * first.size
}

fn push_blank(pieces: &mut [String]) {
    if let Some(piece) = pieces.last_mut().filter(|piece| !piece.is_empty() && !piece.ends_with(' ')) {
        piece.push(' ');
    }
}

/// The names of networks in the fonts of pictures are kept as labels; other pictures say nothing.
fn shown(glyph: &Glyph) -> Option<String> {
    const NETWORKS: &[&str] = &[
        "github", "gitlab", "linkedin", "twitter", "mastodon", "orcid", "medium", "youtube", "skype", "xing",
        "kaggle",
    ];
    if glyph.style.icon {
        let name = glyph.text.to_lowercase();
        let name = name.split(['-', ' ']).next().unwrap_or_default();
        return NETWORKS.contains(&name).then(|| format!("{name}: "));
    }
    // A soft hyphen that is drawn is a hyphen: several fonts name theirs so.
    Some(glyph.text.replace('\u{AD}', "-"))
}

/// The gap between letters of a line that is spaced out glyph by glyph (`S K I L L S`), otherwise 0.
fn spaced_out_gap(glyphs: &[Glyph]) -> f64 {
    let letters: Vec<&Glyph> = glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty()).collect();
    let mut gaps: Vec<f64> = letters
        .windows(2)
        .filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
        .map(|(a, b)| b.x - a.end - a.tracking.max(0.0))
        .collect();
    gaps.sort_by(f64::total_cmp);
    let size = usual_size(glyphs);
    // Ordinary words are longer than two letters, so less than half of their gaps are wide.
    match gaps.get(gaps.len() / 4) {
        Some(low) if gaps.len() >= 4 && *low > WORD_GAP * size => {
            gaps.get(gaps.len() / 2).copied().unwrap_or(*low)
        }
        _ => 0.0,
    }
}

/// The size most glyphs have, to a tenth of a point.
fn usual_size(glyphs: &[Glyph]) -> f64 {
    let mut sizes: Vec<f64> =
        glyphs.iter().filter(|glyph| !glyph.text.trim().is_empty()).map(|glyph| glyph.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).map_or(0.0, |size| (size * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use crate::resume::pdf::lines::{lines, tests::type_at};

    #[test]
    fn spaced_out_headings_are_words_again() {
        let glyphs = type_at("S K I L L S   H E R E", 10.0, 10.0, 10.0, false);
        assert_eq!(lines(glyphs)[0].text, "SKILLS HERE");
    }

    #[test]
    fn text_printed_twice_for_boldness_is_read_once() {
        let mut glyphs = type_at("Halden", 10.0, 10.0, 10.0, false);
        glyphs.extend(type_at("Halden", 10.3, 10.0, 10.0, false));
        assert_eq!(lines(glyphs)[0].text, "Halden");
    }

    #[test]
    fn pictures_of_networks_become_labels_and_others_vanish() {
        let mut glyphs = type_at("xx mara", 10.0, 10.0, 10.0, false);
        for (glyph, name) in glyphs.iter_mut().zip(["HOUSE-CHIMNEY", "GITHUB-SQUARE"]) {
            glyph.style.icon = true;
            glyph.text = name.to_owned();
        }
        assert_eq!(lines(glyphs)[0].text, "github: mara");
    }
}
