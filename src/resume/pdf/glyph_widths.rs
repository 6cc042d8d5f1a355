//! Rewrites the glyph widths of composite fonts to the one notation that is read correctly.

use pdf_extract::{Document, Object, ObjectId};

/// Identifiers of glyphs have two bytes.
const MAX_GLYPH: i64 = 0xFFFF;

/// Each glyph needs one width; a list that says far more repeats itself to fill memory.
const MAX_WIDTHS: usize = 0x4_0000;

/// PDF has two notations for widths: `first [w w w]` and `first last w`. The library misreads the second, which puts every
/// glyph in the wrong place, and takes a default width that is not an integer for none.
pub(super) fn normalise(document: &mut Document) {
    let fonts: Vec<(ObjectId, Option<Vec<Object>>, Option<i64>)> = document
        .objects
        .iter()
        .filter_map(|(id, object)| {
            let font = object
                .as_dict()
                .ok()
                .filter(|font| font.has(b"DescendantFonts") || font.has(b"CIDSystemInfo"))?;
            let widths = font.get(b"W").ok().and_then(|widths| rewritten(document, widths));
            let default = font.get(b"DW").ok().and_then(|default| number(document, default));
            Some((*id, widths, default.map(whole)))
        })
        .collect();
    for (id, widths, default) in fonts {
        if let Ok(font) = document.get_dictionary_mut(id) {
            if let Some(widths) = widths {
                font.set("W", widths);
            }
            if let Some(default) = default {
                font.set("DW", default);
            }
        }
    }
}

fn resolve<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

fn number(document: &Document, object: &Object) -> Option<f32> {
    resolve(document, object)?.as_float().ok()
}

/// The identifier of a glyph, or the width nearest to this one.
#[expect(
    clippy::as_conversions,
    reason = "the conversion saturates, and widths have at most a few thousand units"
)]
fn whole(number: f32) -> i64 {
    number.round() as i64
}

/// Everything as `first [w w w]`; what makes no sense ends the list.
fn rewritten(document: &Document, widths: &Object) -> Option<Vec<Object>> {
    let mut entries = resolve(document, widths)?.as_array().ok()?.iter();
    let mut out = Vec::new();
    let mut glyphs = 0;
    while let (Some(first), Some(second)) = (entries.next(), entries.next()) {
        let Some(first) = number(document, first).map(whole).filter(|first| (0..=MAX_GLYPH).contains(first))
        else {
            break;
        };
        let list: Vec<Object> = if let Some(Object::Array(list)) = resolve(document, second) {
            list.iter().map(|width| number(document, width).unwrap_or(0.0)).map(Object::Real).collect()
        } else {
            let (Some(last), Some(width)) =
                (number(document, second), entries.next().and_then(|it| number(document, it)))
            else {
                break;
            };
            (first..=whole(last).min(MAX_GLYPH)).map(|_| Object::Real(width)).collect()
        };
        glyphs += list.len();
        if glyphs > MAX_WIDTHS {
            break;
        }
        out.push(first.into());
        out.push(list.into());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_become_lists() {
        let document = Document::new();
        let ints =
            |numbers: &[i64]| numbers.iter().map(|number| Object::Integer(*number)).collect::<Vec<_>>();
        let mut widths = ints(&[3, 5, 500, 9]);
        widths.push(ints(&[7, 8]).into());
        let reals =
            |numbers: &[f32]| Object::Array(numbers.iter().map(|number| Object::Real(*number)).collect());
        let wanted = vec![3.into(), reals(&[500.0, 500.0, 500.0]), 9.into(), reals(&[7.0, 8.0])];
        assert_eq!(rewritten(&document, &widths.into()), Some(wanted));
    }
}
