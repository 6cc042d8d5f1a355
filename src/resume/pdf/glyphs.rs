//! Receives the glyphs of a page with their places, in points, as if every page were written left to right.

use pdf_extract::{MediaBox, OutputDev, OutputError, Transform, output_doc_page};

use super::text_operators::{FlatPage, Style};

/// A crowded page has some ten thousand.
const MAX_GLYPHS: usize = 200_000;

/// One glyph; a ligature or a named icon has several characters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glyph {
    pub(super) text: String,
    /// Left edge, along the line.
    pub(super) x: f64,
    /// Right edge.
    pub(super) end: f64,
    /// The baseline; up is more.
    pub(super) y: f64,
    /// The height of the font.
    pub(super) size: f64,
    pub(super) style: Style,
    /// The space the document puts after every glyph by its own setting, as in spaced-out headings.
    pub(super) tracking: f64,
}

pub(super) fn read(flat: &FlatPage) -> Result<Vec<Glyph>, OutputError> {
    let mut sink = Sink {
        strings: flat.strings.iter(),
        style: Style::default(),
        by_direction: Default::default(),
        count: 0,
    };
    output_doc_page(&flat.document, &mut sink, 1)?;
    // Text in another direction than most of the page is a watermark or a label on the margin.
    Ok(sink.by_direction.into_iter().max_by_key(Vec::len).unwrap_or_default())
}

struct Sink<'a> {
    strings: std::slice::Iter<'a, Style>,
    style: Style,
    /// Right, up, left, down.
    by_direction: [Vec<Glyph>; 4],
    count: usize,
}

impl OutputDev for Sink<'_> {
    fn begin_page(
        &mut self,
        _: u32,
        _: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        at: &Transform,
        width: f64,
        spacing: f64,
        size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        let along = at.m11.hypot(at.m12);
        let height = size.abs() * at.m21.hypot(at.m22);
        let usable = [at.m31, at.m32, along, height, width, spacing].iter().all(|number| number.is_finite());
        self.count += 1;
        if !usable || along == 0.0 || height < 0.5 || text.is_empty() || self.count > MAX_GLYPHS {
            return Ok(());
        }
        let (x, y, [right, up, left, down]) = (at.m31, at.m32, &mut self.by_direction);
        let (list, x, y) = match (at.m11.abs() >= at.m12.abs(), at.m11 > 0.0, at.m12 > 0.0) {
            (true, true, _) => (right, x, y),
            (true, false, _) => (left, -x, -y),
            (false, _, true) => (up, y, -x),
            (false, _, false) => (down, -y, x),
        };
        let end = x + width * size.abs() * along;
        let glyph = Glyph {
            text: text.to_owned(),
            x,
            end,
            y,
            size: height,
            style: self.style,
            tracking: spacing * along,
        };
        list.push(glyph);
        Ok(())
    }

    /// Called once for each string shown, in the order the strings were kept.
    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.style = self.strings.next().copied().unwrap_or_default();
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
