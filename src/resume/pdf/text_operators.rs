//! Makes a PDF page with nothing but text on it: forms drawn in place, everything else left out.

use std::collections::BTreeMap;

use pdf_extract::content::{Content, Operation};
use pdf_extract::{Dictionary, Document, Error, Object, ObjectId, Stream, dictionary};

/// Forms within forms go deeper than this only to exhaust a reader.
const MAX_DEPTH: usize = 12;

/// Kept operations of one page, and form drawings of one page. A page crowded with text has a few thousand.
const MAX_OPERATIONS: usize = 200_000;
const MAX_FORMS: usize = 2_000;

/// A document of one page, and what is known about each string shown on it, in order.
pub(super) struct FlatPage {
    pub(super) document: Document,
    pub(super) strings: Vec<Style>,
}

/// How a string is shown, as far as the font's name tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) bold: bool,
    /// From a font of pictures, whose glyphs carry names such as `GITHUB-SQUARE` as text.
    pub(super) icon: bool,
}

pub(super) fn flatten(document: &Document, page: ObjectId) -> Result<FlatPage, Error> {
    let mut walk = Walk {
        document,
        operations: Vec::new(),
        fonts: BTreeMap::new(),
        strings: Vec::new(),
        forms: 0,
        open: Vec::new(),
    };
    let empty = Dictionary::new();
    let resources =
        inherited(document, page, b"Resources").and_then(|object| dict(document, object)).unwrap_or(&empty);
    walk.content(&document.get_page_content(page)?, resources)?;
    Ok(walk.finish())
}

/// The value of a page or of the nearest node above it that has one.
fn inherited<'a>(document: &'a Document, mut node: ObjectId, key: &[u8]) -> Option<&'a Object> {
    for _ in 0..64 {
        let dictionary = document.get_dictionary(node).ok()?;
        if let Ok(found) = dictionary.get(key) {
            return Some(found);
        }
        node = dictionary.get(b"Parent").and_then(Object::as_reference).ok()?;
    }
    None
}

fn resolve<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

fn dict<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Dictionary> {
    resolve(document, object)?.as_dict().ok()
}

fn entry<'a>(document: &'a Document, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    resolve(document, dictionary.get(key).ok()?)
}

struct Walk<'a> {
    document: &'a Document,
    operations: Vec<Operation>,
    /// Fonts under new names, because each form has names of its own.
    fonts: BTreeMap<Vec<u8>, &'a Object>,
    strings: Vec<Style>,
    forms: usize,
    /// The forms being drawn, to notice one that draws itself.
    open: Vec<ObjectId>,
}

impl<'a> Walk<'a> {
    fn content(&mut self, content: &[u8], resources: &'a Dictionary) -> Result<(), Error> {
        // The font belongs to the graphics state, so it is saved and restored with it.
        let (mut font, mut saved): (Option<Style>, Vec<Option<Style>>) = (None, Vec::new());
        for operation in Content::decode(content)?.operations {
            if self.operations.len() > MAX_OPERATIONS {
                return Ok(());
            }
            let Operation { operator, operands } = operation;
            match (operator.as_str(), operands.as_slice()) {
                ("q", _) => {
                    saved.push(font);
                    self.keep("q", Vec::new());
                }
                // One more than was saved would end the state around a form.
                ("Q", _) => {
                    if let Some(before) = saved.pop() {
                        font = before;
                        self.keep("Q", Vec::new());
                    }
                }
                ("BT" | "ET" | "T*", _) => self.keep(&operator, Vec::new()),
                ("cm" | "Tm", numbers) if all_numbers(numbers, 6) => self.keep(&operator, operands),
                ("Td" | "TD", numbers) if all_numbers(numbers, 2) => self.keep(&operator, operands),
                ("Tc" | "Tw" | "Tz" | "TL" | "Ts", numbers) if all_numbers(numbers, 1) => {
                    self.keep(&operator, operands)
                }
                ("Tf", [Object::Name(name), size]) => font = self.font(resources, name, size),
                ("Tj", [string @ Object::String(..)]) => self.show(font, std::slice::from_ref(string)),
                ("TJ", [Object::Array(pieces)]) => self.show(font, pieces),
                ("'", [string @ Object::String(..)]) => {
                    self.keep("T*", Vec::new());
                    self.show(font, std::slice::from_ref(string));
                }
                (
                    "\"",
                    [word @ (Object::Integer(_) | Object::Real(_)), character, string @ Object::String(..)],
                ) => {
                    self.keep("Tw", vec![word.clone()]);
                    if all_numbers(std::slice::from_ref(character), 1) {
                        self.keep("Tc", vec![character.clone()]);
                    }
                    self.keep("T*", Vec::new());
                    self.show(font, std::slice::from_ref(string));
                }
                ("Do", [Object::Name(name)]) => self.form(resources, name)?,
                _ => {}
            }
        }
        saved.iter().for_each(|_| self.keep("Q", Vec::new()));
        Ok(())
    }

    fn keep(&mut self, operator: &str, operands: Vec<Object>) {
        self.operations.push(Operation::new(operator, operands));
    }

    fn font(&mut self, resources: &'a Dictionary, name: &[u8], size: &Object) -> Option<Style> {
        let object = entry(self.document, resources, b"Font")?.as_dict().ok()?.get(name).ok()?;
        let dictionary = dict(self.document, object)?;
        if !all_numbers(std::slice::from_ref(size), 1) {
            return None;
        }
        let known = self.fonts.iter().find(|(_, font)| **font == object).map(|(name, _)| name.clone());
        let new_name = known.unwrap_or_else(|| format!("F{}", self.fonts.len()).into_bytes());
        self.fonts.insert(new_name.clone(), object);
        self.keep("Tf", vec![Object::Name(new_name), size.clone()]);
        let base = entry(self.document, dictionary, b"BaseFont")
            .and_then(|base| base.as_name().ok())
            .unwrap_or_default();
        let base = String::from_utf8_lossy(base).to_lowercase();
        let bold = ["bold", "black", "heavy", "-semibold", "medi"].iter().any(|weight| base.contains(weight));
        Some(Style { bold, icon: base.contains("awesome") || base.contains("icon") })
    }

    /// Without a font there is nothing to read the string with.
    fn show(&mut self, font: Option<Style>, pieces: &[Object]) {
        let Some(style) = font else { return };
        let mut array = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Object::String(..) => self.strings.push(style),
                Object::Integer(_) | Object::Real(_) => {}
                _ => continue,
            }
            array.push(piece.clone());
        }
        self.keep("TJ", vec![Object::Array(array)]);
    }

    fn form(&mut self, resources: &'a Dictionary, name: &[u8]) -> Result<(), Error> {
        self.forms += 1;
        if self.forms > MAX_FORMS || self.open.len() >= MAX_DEPTH {
            return Ok(());
        }
        let document = self.document;
        let objects = entry(document, resources, b"XObject").and_then(|objects| objects.as_dict().ok());
        let Some(id) = objects.and_then(|objects| objects.get(name).and_then(Object::as_reference).ok())
        else {
            return Ok(());
        };
        let Ok(stream) = document.get_object(id).and_then(Object::as_stream) else { return Ok(()) };
        let is_form =
            entry(document, &stream.dict, b"Subtype").and_then(|kind| kind.as_name().ok()) == Some(b"Form");
        if !is_form || self.open.contains(&id) {
            return Ok(());
        }
        self.open.push(id);
        self.keep("q", Vec::new());
        if let Some(matrix) =
            entry(document, &stream.dict, b"Matrix").and_then(|matrix| matrix.as_array().ok())
            && all_numbers(matrix, 6)
        {
            self.keep("cm", matrix.clone());
        }
        let own = entry(document, &stream.dict, b"Resources").and_then(|own| own.as_dict().ok());
        self.content(&stream.get_plain_content()?, own.unwrap_or(resources))?;
        self.keep("Q", Vec::new());
        self.open.pop();
        Ok(())
    }

    /// The new page stands in a copy of the document's objects, because the fonts refer to them.
    fn finish(self) -> FlatPage {
        let mut document = Document::with_version("1.7");
        document.objects = self.document.objects.clone();
        document.max_id = self.document.max_id;
        let fonts = self.fonts.into_iter().fold(Dictionary::new(), |mut fonts, (name, font)| {
            fonts.set(name, font.clone());
            fonts
        });
        // Writing numbers, names and strings into memory does not fail.
        let content = Content { operations: self.operations }.encode().unwrap_or_default();
        let content = document.add_object(Stream::new(Dictionary::new(), content));
        let page = document.add_object(dictionary! {
            "Type" => "Page",
            "Resources" => dictionary! { "Font" => fonts },
            "MediaBox" => vec![0.into(), 0.into(), 1000.into(), 1000.into()],
            "Contents" => content,
        });
        let pages =
            document.add_object(dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 });
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        document.trailer.set("Root", catalog);
        FlatPage { document, strings: self.strings }
    }
}

fn all_numbers(operands: &[Object], count: usize) -> bool {
    operands.len() == count
        && operands.iter().all(|operand| matches!(operand, Object::Integer(_) | Object::Real(_)))
}
