//! Parses the paragraphs and table rows of a DOCX part and turns them into a document.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::styles::{ParagraphRole, Styles, attribute, outline_level};
use crate::resume::document_builder::DocumentBuilder;
use crate::resume::headings::{can_be_name, is_heading_in_capitals, is_section_title, strip_bullet};

/// A paragraph, or the cells of a table row joined into one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) role: ParagraphRole,
    pub(super) text: String,
}

/// An open `w:p`, `w:tc` or `w:tr` element.
struct OpenElement {
    kind: ElementKind,
    /// Only used for paragraphs.
    role: ParagraphRole,
    text: String,
    /// The finished blocks inside the element. In a paragraph, those of its text boxes.
    blocks: Vec<Block>,
    /// Only used for rows: the blocks of each finished cell.
    cells: Vec<Vec<Block>>,
}

#[derive(PartialEq, Eq)]
enum ElementKind {
    Paragraph,
    Cell,
    Row,
}

/// Parses the blocks of a part in reading order.
///
/// # Errors
///
/// Returns the message of the XML parser.
pub(super) fn parse_blocks(xml: &str, styles: &Styles) -> Result<Vec<Block>, String> {
    let mut reader = Reader::from_str(xml);
    let mut parser =
        BlockParser { styles, open: Vec::new(), finished: Vec::new(), in_text: false, skip_depth: 0 };
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(tag) => parser.start_tag(&tag, TagForm::WithEnd),
            Event::Empty(tag) => parser.start_tag(&tag, TagForm::SelfClosing),
            Event::End(tag) => parser.end_tag(tag.name().as_ref()),
            Event::Text(text) if parser.in_text => parser.push_text(&text),
            Event::CData(text) if parser.in_text => parser.push_text(&text),
            Event::GeneralRef(reference) if parser.in_text => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    parser.push_text(character.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = quick_xml::escape::resolve_predefined_entity(&reference) {
                    parser.push_text(text);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    while !parser.open.is_empty() {
        parser.close_element();
    }
    Ok(parser.finished)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TagForm {
    WithEnd,
    SelfClosing,
}

struct BlockParser<'a> {
    styles: &'a Styles,
    /// From the outermost to the innermost.
    open: Vec<OpenElement>,
    finished: Vec<Block>,
    /// Set inside `w:t`, the only element whose text is shown.
    in_text: bool,
    /// The number of open elements since the outermost skipped one, 0 outside of skipped elements.
    skip_depth: usize,
}

impl BlockParser<'_> {
    fn start_tag(&mut self, tag: &BytesStart<'_>, form: TagForm) {
        let name = tag.name();
        let name = name.as_ref();
        let has_end = form == TagForm::WithEnd;
        // A fallback repeats its text box for old readers. Deleted text is kept for change
        // tracking.
        if self.skip_depth > 0 || matches!(name, "mc:Fallback" | "w:del" | "w:moveFrom") {
            self.skip_depth += usize::from(has_end);
            return;
        }
        match name {
            "w:p" if has_end => self.open_element(ElementKind::Paragraph),
            "w:tc" if has_end => self.open_element(ElementKind::Cell),
            "w:tr" if has_end => self.open_element(ElementKind::Row),
            "w:t" => self.in_text = has_end,
            // The definition of a tab stop is also a `w:tab`. It comes before any text and is
            // trimmed.
            "w:tab" | "w:ptab" => self.push_text("\t"),
            "w:br" | "w:cr" => self.push_text("\n"),
            "w:noBreakHyphen" => self.push_text("-"),
            "w:pStyle" => {
                let role = self.styles.role(&attribute(tag, "w:val").unwrap_or_default());
                self.set_role(role);
            }
            // The value 0 removes the numbering that the style has.
            "w:numId" if attribute(tag, "w:val").is_some_and(|id| id != "0") => {
                self.set_role(ParagraphRole::Bullet);
            }
            "w:outlineLvl" => {
                self.set_role(outline_level(tag).map_or(ParagraphRole::Plain, ParagraphRole::Heading));
            }
            _ => {}
        }
    }

    fn end_tag(&mut self, name: &str) {
        if self.skip_depth > 0 {
            self.skip_depth -= 1;
            return;
        }
        match name {
            "w:t" => self.in_text = false,
            "w:p" | "w:tc" | "w:tr" => self.close_element(),
            _ => {}
        }
    }

    fn open_element(&mut self, kind: ElementKind) {
        self.open.push(OpenElement {
            kind,
            role: ParagraphRole::Plain,
            text: String::new(),
            blocks: Vec::new(),
            cells: Vec::new(),
        });
    }

    fn push_text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    /// Sets the role of the paragraph. A title or heading keeps its role, even if it is numbered.
    fn set_role(&mut self, role: ParagraphRole) {
        let Some(element) = self.open.last_mut() else { return };
        let is_final = !matches!(element.role, ParagraphRole::Plain | ParagraphRole::Bullet);
        if !is_final && role != ParagraphRole::Plain {
            element.role = role;
        }
    }

    fn close_element(&mut self) {
        let Some(mut element) = self.open.pop() else { return };
        let mut blocks = std::mem::take(&mut element.blocks);
        match element.kind {
            ElementKind::Paragraph => {
                let text = separate_tabs(&element.text);
                if !text.is_empty() {
                    blocks.push(Block { role: element.role, text });
                }
            }
            ElementKind::Row => blocks.extend(row_blocks(element.cells)),
            ElementKind::Cell => {
                if let Some(row) = self.open.last_mut().filter(|parent| parent.kind == ElementKind::Row) {
                    row.cells.push(blocks);
                    return;
                }
            }
        }
        match self.open.last_mut() {
            Some(parent) => parent.blocks.append(&mut blocks),
            None => self.finished.append(&mut blocks),
        }
    }
}

/// Writes ` | ` for tabs, as between table cells, and removes empty lines.
fn separate_tabs(text: &str) -> String {
    let separate_line = |line: &str| {
        line.split('\t').map(str::trim).filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    text.lines().map(separate_line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Joins the cells into one block if the row holds data, that is at most one short paragraph per
/// cell. Any other table is used for layout and is read cell by cell.
fn row_blocks(cells: Vec<Vec<Block>>) -> Vec<Block> {
    let is_data = cells.iter().all(|cell| match cell.as_slice() {
        [] => true,
        [block] => {
            block.role == ParagraphRole::Plain && !block.text.contains('\n') && !is_section_title(&block.text)
        }
        _ => false,
    });
    if !is_data {
        return cells.into_iter().flatten().collect();
    }
    let text = cells.iter().flatten().map(|block| block.text.as_str()).collect::<Vec<_>>().join(" | ");
    if text.is_empty() { Vec::new() } else { vec![Block { role: ParagraphRole::Plain, text }] }
}

pub(super) fn build_document(blocks: &[Block]) -> DocumentBuilder {
    let mut builder = DocumentBuilder::default();
    // In a document without heading styles, lines in capitals are headings.
    let has_heading_styles = blocks.iter().any(|block| matches!(block.role, ParagraphRole::Heading(_)));
    for block in blocks {
        let text = block.text.as_str();
        let is_first = !builder.has_name() && builder.is_empty();
        match block.role {
            ParagraphRole::Title if !builder.has_name() && !is_section_title(text) => builder.set_name(text),
            ParagraphRole::Title => builder.push_heading(1, text),
            ParagraphRole::Heading(1) | ParagraphRole::Plain if is_first && can_be_name(text) => {
                builder.set_name(text);
            }
            ParagraphRole::Heading(level) => builder.push_heading(level, text),
            ParagraphRole::Bullet => builder.push_bullet(&text.replace('\n', " ")),
            ParagraphRole::Plain
                if is_section_title(text) || (!has_heading_styles && is_heading_in_capitals(text)) =>
            {
                builder.push_heading(1, text);
            }
            ParagraphRole::Plain => match strip_bullet(text) {
                Some(text) => builder.push_bullet(text),
                None => builder.push_paragraph(text),
            },
        }
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Vec<String> {
        parse_blocks(xml, &Styles::default()).unwrap().into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn runs_tabs_breaks_and_character_references_become_text() {
        let xml = "<w:p><w:r><w:t>R&amp;D </w:t><w:t>le</w:t></w:r><w:r><w:t>ad</w:t><w:tab/><w:t>2021</w:t><w:br/><w:t>x&#8211;y</w:t></w:r></w:p>";
        assert_eq!(texts(xml), ["R&D lead | 2021\nx–y"]);
    }

    #[test]
    fn data_tables_are_read_by_row_and_layout_tables_by_cell() {
        let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
        assert_eq!(
            texts(&format!("<w:tr>{}{}</w:tr>", cell("Swedish"), cell("native"))),
            ["Swedish | native"]
        );
        assert_eq!(texts(&format!("<w:tr>{}{}</w:tr>", cell("Skills"), cell("Rust"))), ["Skills", "Rust"]);
    }

    #[test]
    fn text_boxes_are_read_once_and_deleted_text_is_skipped() {
        let text_box = "<w:p><w:r><w:t>box</w:t></w:r></w:p>";
        let xml = format!(
            "<w:p><mc:Choice>{text_box}</mc:Choice><mc:Fallback>{text_box}</mc:Fallback><w:del><w:t>no</w:t></w:del><w:r><w:t>own</w:t></w:r></w:p>"
        );
        assert_eq!(texts(&xml), ["box", "own"]);
    }
}
