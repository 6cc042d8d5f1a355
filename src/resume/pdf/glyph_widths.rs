//! Rewrites the glyph widths of composite fonts in the notation that pdf-extract reads correctly.

use pdf_extract::{Document, Object, ObjectId};

/// Glyph identifiers have two bytes.
const MAX_GLYPH_ID: i64 = 0xFFFF;

/// The maximum number of widths of a font. A font needs one per glyph; a list with many more is
/// meant to fill memory.
const MAX_WIDTHS: usize = 0x4_0000;

/// The rewritten widths of one font.
struct FontWidths {
    font: ObjectId,
    widths: Option<Vec<Object>>,
    /// The width of glyphs that `widths` does not list.
    default_width: Option<i64>,
}

/// Rewrites the widths of all fonts.
///
/// PDF has two notations for widths: `first [w w w]` and `first last w`. pdf-extract misreads the
/// second, which misplaces every glyph, and ignores a default width that is not an integer.
pub(super) fn normalize(document: &mut Document) {
    let fonts: Vec<FontWidths> =
        document.objects.iter().filter_map(|(id, object)| normalized_widths(document, *id, object)).collect();
    for FontWidths { font, widths, default_width } in fonts {
        if let Ok(font) = document.get_dictionary_mut(font) {
            if let Some(widths) = widths {
                font.set("W", widths);
            }
            if let Some(default_width) = default_width {
                font.set("DW", default_width);
            }
        }
    }
}

/// Returns `None` if the object is not a composite font.
fn normalized_widths(document: &Document, id: ObjectId, object: &Object) -> Option<FontWidths> {
    let font = object.as_dict().ok()?;
    if !font.has(b"DescendantFonts") && !font.has(b"CIDSystemInfo") {
        return None;
    }
    let widths = font.get(b"W").ok().and_then(|widths| widths_as_lists(document, widths));
    let default_width = font.get(b"DW").ok().and_then(|width| number(document, width));
    Some(FontWidths { font: id, widths, default_width: default_width.map(round) })
}

fn resolve<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

fn number(document: &Document, object: &Object) -> Option<f32> {
    resolve(document, object)?.as_float().ok()
}

/// Rounds a width or glyph identifier.
#[expect(
    clippy::as_conversions,
    reason = "the conversion saturates, and widths have at most a few thousand units"
)]
fn round(number: f32) -> i64 {
    number.round() as i64
}

/// Rewrites a list of widths as `first [w w w]` entries. Stops at the first invalid entry.
fn widths_as_lists(document: &Document, widths: &Object) -> Option<Vec<Object>> {
    let mut entries = resolve(document, widths)?.as_array().ok()?.iter();
    let mut rewritten = Vec::new();
    let mut width_count = 0;
    while let (Some(first), Some(second)) = (entries.next(), entries.next()) {
        let first_id = number(document, first).map(round).filter(|id| (0..=MAX_GLYPH_ID).contains(id));
        let Some(first_id) = first_id else { break };
        let list: Vec<Object> = if let Some(Object::Array(list)) = resolve(document, second) {
            list.iter().map(|width| number(document, width).unwrap_or(0.0)).map(Object::Real).collect()
        } else {
            let last_id = number(document, second).map(round);
            let width = entries.next().and_then(|width| number(document, width));
            let (Some(last_id), Some(width)) = (last_id, width) else { break };
            (first_id..=last_id.min(MAX_GLYPH_ID)).map(|_| Object::Real(width)).collect()
        };
        width_count += list.len();
        if width_count > MAX_WIDTHS {
            break;
        }
        rewritten.push(first_id.into());
        rewritten.push(list.into());
    }
    Some(rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_rewritten_as_lists() {
        let document = Document::new();
        let ints =
            |numbers: &[i64]| numbers.iter().map(|number| Object::Integer(*number)).collect::<Vec<_>>();
        let mut widths = ints(&[3, 5, 500, 9]);
        widths.push(ints(&[7, 8]).into());
        let reals =
            |numbers: &[f32]| Object::Array(numbers.iter().map(|number| Object::Real(*number)).collect());
        let expected = vec![3.into(), reals(&[500.0, 500.0, 500.0]), 9.into(), reals(&[7.0, 8.0])];
        assert_eq!(widths_as_lists(&document, &widths.into()), Some(expected));
    }
}
