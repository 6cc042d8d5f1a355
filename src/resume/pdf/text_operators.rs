//! Copies a PDF page with only its text operators. Expands forms in place and drops everything
//! else.

use std::collections::BTreeMap;

use pdf_extract::content::{Content, Operation};
use pdf_extract::{Dictionary, Document, Error, Object, ObjectId, Stream, dictionary};

/// The deepest nesting of forms that is expanded. Real documents nest a few levels.
const MAX_FORM_DEPTH: usize = 12;

/// The maximum number of operations kept of one page. A crowded page has a few thousand.
const MAX_OPERATIONS: usize = 200_000;

/// The maximum number of forms expanded on one page, counted with repetition.
const MAX_FORMS: usize = 2_000;

/// The maximum number of ancestors of a page that are searched for an inherited attribute.
const MAX_PAGE_TREE_DEPTH: usize = 64;

/// A page reduced to its text.
pub(super) struct TextPage {
    /// A document that has only this page.
    pub(super) document: Document,
    /// The style of each string, in the order in which the page shows the strings.
    pub(super) string_styles: Vec<TextStyle>,
}

/// The style of a string, guessed from the name of its font.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TextStyle {
    pub(super) is_bold: bool,
    /// True for an icon font. Its glyphs have names such as `GITHUB-SQUARE` as their text.
    pub(super) is_icon: bool,
}

impl TextStyle {
    fn from_font_name(name: &[u8]) -> Self {
        const BOLD_NAMES: [&str; 5] = ["bold", "black", "heavy", "-semibold", "medi"];
        const ICON_NAMES: [&str; 2] = ["awesome", "icon"];
        let name = String::from_utf8_lossy(name).to_lowercase();
        let contains_any = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        Self { is_bold: contains_any(&BOLD_NAMES), is_icon: contains_any(&ICON_NAMES) }
    }
}

/// Copies the text of a page.
pub(super) fn extract_page(document: &Document, page: ObjectId) -> Result<TextPage, Error> {
    let mut extractor = TextExtractor {
        document,
        operations: Vec::new(),
        fonts: BTreeMap::new(),
        string_styles: Vec::new(),
        form_count: 0,
        open_forms: Vec::new(),
    };
    let empty = Dictionary::new();
    let resources = inherited_attribute(document, page, b"Resources")
        .and_then(|object| as_dictionary(document, object))
        .unwrap_or(&empty);
    extractor.copy_content(&document.get_page_content(page)?, resources)?;
    Ok(extractor.into_page())
}

/// Returns the attribute of the page or of the nearest ancestor that has it.
fn inherited_attribute<'a>(document: &'a Document, page: ObjectId, key: &[u8]) -> Option<&'a Object> {
    let mut node = page;
    for _ in 0..MAX_PAGE_TREE_DEPTH {
        let dictionary = document.get_dictionary(node).ok()?;
        if let Ok(value) = dictionary.get(key) {
            return Some(value);
        }
        node = dictionary.get(b"Parent").and_then(Object::as_reference).ok()?;
    }
    None
}

fn resolve<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

fn as_dictionary<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Dictionary> {
    resolve(document, object)?.as_dict().ok()
}

fn dictionary_value<'a>(
    document: &'a Document,
    dictionary: &'a Dictionary,
    key: &[u8],
) -> Option<&'a Object> {
    resolve(document, dictionary.get(key).ok()?)
}

struct TextExtractor<'a> {
    document: &'a Document,
    operations: Vec<Operation>,
    /// Fonts by new names, because forms can use the same name for different fonts.
    fonts: BTreeMap<Vec<u8>, &'a Object>,
    string_styles: Vec<TextStyle>,
    form_count: usize,
    /// The forms being expanded, to detect a form that contains itself.
    open_forms: Vec<ObjectId>,
}

/// The part of the graphics state that is tracked: the style of the current font, if it is known.
///
/// Like the whole graphics state, it is saved by `q` and restored by `Q`.
#[derive(Default)]
struct FontState {
    current: Option<TextStyle>,
    saved: Vec<Option<TextStyle>>,
}

impl<'a> TextExtractor<'a> {
    /// Copies the text operators of a content stream and expands its forms.
    fn copy_content(&mut self, content: &[u8], resources: &'a Dictionary) -> Result<(), Error> {
        let mut font = FontState::default();
        for Operation { operator, operands } in Content::decode(content)?.operations {
            if self.operations.len() > MAX_OPERATIONS {
                return Ok(());
            }
            match (operator.as_str(), operands.as_slice()) {
                ("q", _) => {
                    font.saved.push(font.current);
                    self.push("q", Vec::new());
                }
                // An unmatched `Q` would restore the state from before the form.
                ("Q", _) => {
                    if let Some(saved) = font.saved.pop() {
                        font.current = saved;
                        self.push("Q", Vec::new());
                    }
                }
                ("Do", [Object::Name(name)]) => self.expand_form(resources, name)?,
                ("Tf", [Object::Name(name), size]) => font.current = self.select_font(resources, name, size),
                _ => self.copy_text_operator(&operator, operands, font.current),
            }
        }
        font.saved.iter().for_each(|_| self.push("Q", Vec::new()));
        Ok(())
    }

    /// Copies an operator that positions or shows text. Drops any other, and any with wrong
    /// operands.
    fn copy_text_operator(&mut self, operator: &str, operands: Vec<Object>, style: Option<TextStyle>) {
        match (operator, operands.as_slice()) {
            ("BT" | "ET" | "T*", _) => self.push(operator, Vec::new()),
            ("cm" | "Tm", numbers) if are_numbers(numbers, 6) => self.push(operator, operands),
            ("Td" | "TD", numbers) if are_numbers(numbers, 2) => self.push(operator, operands),
            ("Tc" | "Tw" | "Tz" | "TL" | "Ts", numbers) if are_numbers(numbers, 1) => {
                self.push(operator, operands);
            }
            ("Tj", [string @ Object::String(..)]) => self.show_text(style, std::slice::from_ref(string)),
            ("TJ", [Object::Array(pieces)]) => self.show_text(style, pieces),
            ("'", [string @ Object::String(..)]) => {
                self.push("T*", Vec::new());
                self.show_text(style, std::slice::from_ref(string));
            }
            (
                "\"",
                [
                    word_spacing @ (Object::Integer(_) | Object::Real(_)),
                    character_spacing,
                    string @ Object::String(..),
                ],
            ) => {
                self.push("Tw", vec![word_spacing.clone()]);
                if are_numbers(std::slice::from_ref(character_spacing), 1) {
                    self.push("Tc", vec![character_spacing.clone()]);
                }
                self.push("T*", Vec::new());
                self.show_text(style, std::slice::from_ref(string));
            }
            _ => {}
        }
    }

    fn push(&mut self, operator: &str, operands: Vec<Object>) {
        self.operations.push(Operation::new(operator, operands));
    }

    /// Copies a `Tf` operator. Returns `None` if the font is missing.
    fn select_font(&mut self, resources: &'a Dictionary, name: &[u8], size: &Object) -> Option<TextStyle> {
        let font = dictionary_value(self.document, resources, b"Font")?.as_dict().ok()?.get(name).ok()?;
        let dictionary = as_dictionary(self.document, font)?;
        if !are_numbers(std::slice::from_ref(size), 1) {
            return None;
        }
        let known_name = self.fonts.iter().find(|(_, other)| **other == font).map(|(name, _)| name.clone());
        let new_name = known_name.unwrap_or_else(|| format!("F{}", self.fonts.len()).into_bytes());
        self.fonts.insert(new_name.clone(), font);
        self.push("Tf", vec![Object::Name(new_name), size.clone()]);
        let base_font = dictionary_value(self.document, dictionary, b"BaseFont")
            .and_then(|name| name.as_name().ok())
            .unwrap_or_default();
        Some(TextStyle::from_font_name(base_font))
    }

    /// Shows strings and the gaps between them. Without a font the strings cannot be decoded.
    fn show_text(&mut self, style: Option<TextStyle>, pieces: &[Object]) {
        let Some(style) = style else { return };
        let mut array = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Object::String(..) => self.string_styles.push(style),
                Object::Integer(_) | Object::Real(_) => {}
                _ => continue,
            }
            array.push(piece.clone());
        }
        self.push("TJ", vec![Object::Array(array)]);
    }

    /// Copies the content of a form in place of the `Do` operator that draws it.
    fn expand_form(&mut self, resources: &'a Dictionary, name: &[u8]) -> Result<(), Error> {
        self.form_count += 1;
        if self.form_count > MAX_FORMS || self.open_forms.len() >= MAX_FORM_DEPTH {
            return Ok(());
        }
        let document = self.document;
        let Some((id, stream)) = self.find_form(resources, name) else { return Ok(()) };
        if self.open_forms.contains(&id) {
            return Ok(());
        }
        self.open_forms.push(id);
        self.push("q", Vec::new());
        if let Some(matrix) =
            dictionary_value(document, &stream.dict, b"Matrix").and_then(|matrix| matrix.as_array().ok())
            && are_numbers(matrix, 6)
        {
            self.push("cm", matrix.clone());
        }
        let own_resources = dictionary_value(document, &stream.dict, b"Resources")
            .and_then(|resources| resources.as_dict().ok());
        self.copy_content(&stream.get_plain_content()?, own_resources.unwrap_or(resources))?;
        self.push("Q", Vec::new());
        self.open_forms.pop();
        Ok(())
    }

    /// Returns `None` if the name belongs to an image or to nothing.
    fn find_form(&self, resources: &'a Dictionary, name: &[u8]) -> Option<(ObjectId, &'a Stream)> {
        let objects = dictionary_value(self.document, resources, b"XObject")?.as_dict().ok()?;
        let id = objects.get(name).and_then(Object::as_reference).ok()?;
        let stream = self.document.get_object(id).and_then(Object::as_stream).ok()?;
        let subtype = dictionary_value(self.document, &stream.dict, b"Subtype")?.as_name().ok()?;
        (subtype == b"Form").then_some((id, stream))
    }

    /// Builds the page in a copy of all objects of the document, because fonts refer to them.
    fn into_page(self) -> TextPage {
        let mut document = Document::with_version("1.7");
        document.objects = self.document.objects.clone();
        document.max_id = self.document.max_id;
        let fonts = self.fonts.into_iter().fold(Dictionary::new(), |mut fonts, (name, font)| {
            fonts.set(name, font.clone());
            fonts
        });
        // Encoding numbers, names and strings does not fail.
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
        TextPage { document, string_styles: self.string_styles }
    }
}

/// Returns true if the operands are exactly `count` numbers.
fn are_numbers(operands: &[Object], count: usize) -> bool {
    operands.len() == count
        && operands.iter().all(|operand| matches!(operand, Object::Integer(_) | Object::Real(_)))
}
