//! Reads the positioned glyphs of a page, in coordinates in which its text runs from left to right.

use pdf_extract::{MediaBox, OutputDev, OutputError, Transform, output_doc_page};

use super::text_operators::{TextPage, TextStyle};

/// Further glyphs of a page are ignored. A crowded page has about ten thousand.
const MAX_GLYPHS: usize = 200_000;

/// A glyph. Coordinates and sizes are in points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glyph {
    /// More than one character for a ligature or a named icon.
    pub(super) text: String,
    pub(super) left: f64,
    pub(super) right: f64,
    /// The height of the baseline above the bottom of the page.
    pub(super) baseline: f64,
    /// The font size.
    pub(super) size: f64,
    pub(super) style: TextStyle,
    /// The character spacing that the document sets, for example to space out headings.
    pub(super) tracking: f64,
}

/// Reads the glyphs in the main direction of the page.
pub(super) fn read(page: &TextPage) -> Result<Vec<Glyph>, OutputError> {
    let mut collector = GlyphCollector {
        string_styles: page.string_styles.iter(),
        style: TextStyle::default(),
        by_direction: ByDirection::default(),
        count: 0,
    };
    output_doc_page(&page.document, &mut collector, 1)?;
    // Text in any other direction is a watermark or a label on the margin.
    let ByDirection { right, up, left, down } = collector.by_direction;
    Ok([right, up, left, down].into_iter().max_by_key(Vec::len).unwrap_or_default())
}

struct GlyphCollector<'a> {
    string_styles: std::slice::Iter<'a, TextStyle>,
    /// The style of the current string.
    style: TextStyle,
    by_direction: ByDirection,
    count: usize,
}

/// The glyphs by the direction in which the text runs on the page.
#[derive(Default)]
struct ByDirection {
    right: Vec<Glyph>,
    up: Vec<Glyph>,
    left: Vec<Glyph>,
    down: Vec<Glyph>,
}

impl OutputDev for GlyphCollector<'_> {
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
        transform: &Transform,
        width: f64,
        spacing: f64,
        size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        let horizontal_scale = transform.m11.hypot(transform.m12);
        let height = size.abs() * transform.m21.hypot(transform.m22);
        let is_finite = [transform.m31, transform.m32, horizontal_scale, height, width, spacing]
            .iter()
            .all(|number| number.is_finite());
        self.count += 1;
        if !is_finite || horizontal_scale == 0.0 || height < 0.5 || text.is_empty() || self.count > MAX_GLYPHS
        {
            return Ok(());
        }
        // Rotate the coordinates so that the text runs to the right.
        let (x, y) = (transform.m31, transform.m32);
        let is_horizontal = transform.m11.abs() >= transform.m12.abs();
        let directions = &mut self.by_direction;
        let (glyphs, left, baseline) = match (is_horizontal, transform.m11 > 0.0, transform.m12 > 0.0) {
            (true, true, _) => (&mut directions.right, x, y),
            (true, false, _) => (&mut directions.left, -x, -y),
            (false, _, true) => (&mut directions.up, y, -x),
            (false, _, false) => (&mut directions.down, -y, x),
        };
        glyphs.push(Glyph {
            text: text.to_owned(),
            left,
            right: left + width * size.abs() * horizontal_scale,
            baseline,
            size: height,
            style: self.style,
            tracking: spacing * horizontal_scale,
        });
        Ok(())
    }

    /// Called once for each string shown, in the order of `string_styles`.
    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.style = self.string_styles.next().copied().unwrap_or_default();
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
