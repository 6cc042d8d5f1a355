//! Reads the paragraphs and tables of a DOCX part in order, and writes them as an outline.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::styles::{Role, Styles, attribute, outline_level};
use crate::resume::document_builder::Outline;
use crate::resume::headings::{after_bullet, in_capitals, known, looks_like_name};

/// A paragraph, or a row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) role: Role,
    pub(super) text: String,
}

/// An open `w:p`, `w:tc` or `w:tr`, with the blocks finished inside it.
struct Frame {
    kind: Kind,
    /// Of a paragraph.
    role: Role,
    text: String,
    /// Of a cell and row; of a paragraph those of the text boxes anchored in it.
    blocks: Vec<Block>,
    /// Of a row: the cells so far.
    cells: Vec<Vec<Block>>,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Paragraph,
    Cell,
    Row,
}

/// # Errors
///
/// What is wrong with the XML.
pub(super) fn blocks(xml: &str, styles: &Styles) -> Result<Vec<Block>, String> {
    let mut reader = Reader::from_str(xml);
    let mut walk = Walk { styles, frames: Vec::new(), done: Vec::new(), in_text: false, skipping: 0 };
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(tag) => walk.open(&tag, true),
            Event::Empty(tag) => walk.open(&tag, false),
            Event::End(tag) => walk.close(tag.name().as_ref()),
            Event::Text(text) if walk.in_text => walk.push(&text),
            Event::CData(text) if walk.in_text => walk.push(&text),
            Event::GeneralRef(reference) if walk.in_text => {
                if let Ok(Some(character)) = reference.resolve_char_ref() {
                    walk.push(character.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = quick_xml::escape::resolve_predefined_entity(&reference) {
                    walk.push(text);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    while !walk.frames.is_empty() {
        walk.pop();
    }
    Ok(walk.done)
}

struct Walk<'a> {
    styles: &'a Styles,
    frames: Vec<Frame>,
    done: Vec<Block>,
    in_text: bool,
    /// How deep in elements whose content is not shown or is shown twice.
    skipping: usize,
}

impl Walk<'_> {
    fn open(&mut self, tag: &BytesStart<'_>, has_end: bool) {
        let name = tag.name();
        let name = name.as_ref();
        // A fallback repeats its text box for old readers; deleted text is only kept for tracking changes.
        if self.skipping > 0 || matches!(name, "mc:Fallback" | "w:del" | "w:moveFrom") {
            self.skipping += usize::from(has_end);
            return;
        }
        match name {
            "w:p" if has_end => self.frame(Kind::Paragraph),
            "w:tc" if has_end => self.frame(Kind::Cell),
            "w:tr" if has_end => self.frame(Kind::Row),
            "w:t" => self.in_text = has_end,
            "w:tab" | "w:ptab" => self.push("\t"),
            "w:br" | "w:cr" => self.push("\n"),
            "w:noBreakHyphen" => self.push("-"),
            "w:pStyle" => {
                let role = self.styles.role(&attribute(tag, "w:val").unwrap_or_default());
                self.role(role);
            }
            // 0 takes the number of the style away.
            "w:numId" if attribute(tag, "w:val").is_some_and(|id| id != "0") => self.role(Role::Bullet),
            "w:outlineLvl" => self.role(outline_level(tag).map_or(Role::Plain, Role::Heading)),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if self.skipping > 0 {
            self.skipping -= 1;
            return;
        }
        match name {
            "w:t" => self.in_text = false,
            "w:p" | "w:tc" | "w:tr" => self.pop(),
            _ => {}
        }
    }

    fn frame(&mut self, kind: Kind) {
        self.frames.push(Frame {
            kind,
            role: Role::Plain,
            text: String::new(),
            blocks: Vec::new(),
            cells: Vec::new(),
        });
    }

    fn push(&mut self, text: &str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.text.push_str(text);
        }
    }

    /// A heading with a number is a heading, and tab stops (`w:tab` in `w:tabs`) come before any text.
    fn role(&mut self, role: Role) {
        if let Some(frame) =
            self.frames.last_mut().filter(|frame| matches!(frame.role, Role::Plain | Role::Bullet))
        {
            frame.role = if role == Role::Plain { frame.role } else { role };
        }
    }

    fn pop(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        let mut blocks = std::mem::take(&mut frame.blocks);
        match frame.kind {
            Kind::Paragraph => {
                let text = lines(&frame.text);
                if !text.is_empty() {
                    blocks.push(Block { role: frame.role, text });
                }
            }
            Kind::Row => blocks.extend(row(frame.cells)),
            Kind::Cell => {
                if let Some(row) = self.frames.last_mut().filter(|frame| frame.kind == Kind::Row) {
                    row.cells.push(blocks);
                    return;
                }
            }
        }
        match self.frames.last_mut() {
            Some(parent) => parent.blocks.append(&mut blocks),
            None => self.done.append(&mut blocks),
        }
    }
}

/// Tabs set pieces of a line apart, as cells do.
fn lines(text: &str) -> String {
    let line = |line: &str| {
        line.split('\t').map(str::trim).filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Cells of one short paragraph each are a row of data; anything else is a table used for layout, read cell by cell.
fn row(cells: Vec<Vec<Block>>) -> Vec<Block> {
    let data = cells.iter().all(|cell| match cell.as_slice() {
        [] => true,
        [only] => only.role == Role::Plain && !only.text.contains('\n') && known(&only.text).is_none(),
        _ => false,
    });
    if !data {
        return cells.into_iter().flatten().collect();
    }
    let text = cells.iter().flatten().map(|block| block.text.as_str()).collect::<Vec<_>>().join(" | ");
    if text.is_empty() { Vec::new() } else { vec![Block { role: Role::Plain, text }] }
}

pub(super) fn outline(blocks: &[Block]) -> Outline {
    let mut out = Outline::default();
    let styled = blocks.iter().any(|block| matches!(block.role, Role::Heading(_)));
    for block in blocks {
        let text = block.text.as_str();
        match block.role {
            Role::Title if !out.has_name() && known(text).is_none() => out.name(text),
            Role::Title => out.heading(1, text),
            Role::Heading(1) if !out.has_name() && out.is_empty() && looks_like_name(text) => out.name(text),
            Role::Heading(level) => out.heading(level, text),
            Role::Bullet => out.bullet(&text.replace('\n', " ")),
            Role::Plain if !out.has_name() && out.is_empty() && looks_like_name(text) => out.name(text),
            Role::Plain if known(text).is_some() || (!styled && in_capitals(text)) => out.heading(1, text),
            Role::Plain => match after_bullet(text) {
                Some(rest) => out.bullet(rest),
                None => out.paragraph(text),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Vec<String> {
        blocks(xml, &Styles::default()).unwrap().into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn runs_tabs_breaks_and_references_make_lines() {
        let xml = "<w:p><w:r><w:t>R&amp;D </w:t><w:t>le</w:t></w:r><w:r><w:t>ad</w:t><w:tab/><w:t>2021</w:t><w:br/><w:t>x&#8211;y</w:t></w:r></w:p>";
        assert_eq!(texts(xml), ["R&D lead | 2021\nx–y"]);
    }

    #[test]
    fn tables_go_row_by_row_and_layout_tables_cell_by_cell() {
        let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
        assert_eq!(
            texts(&format!("<w:tr>{}{}</w:tr>", cell("Swedish"), cell("native"))),
            ["Swedish | native"]
        );
        assert_eq!(texts(&format!("<w:tr>{}{}</w:tr>", cell("Skills"), cell("Rust"))), ["Skills", "Rust"]);
    }

    #[test]
    fn text_boxes_are_read_once_and_deleted_text_is_not_read() {
        let inner = "<w:p><w:r><w:t>box</w:t></w:r></w:p>";
        let xml = format!(
            "<w:p><mc:Choice>{inner}</mc:Choice><mc:Fallback>{inner}</mc:Fallback><w:del><w:t>no</w:t></w:del><w:r><w:t>own</w:t></w:r></w:p>"
        );
        assert_eq!(texts(&xml), ["box", "own"]);
    }
}
