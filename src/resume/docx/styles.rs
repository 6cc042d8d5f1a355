//! Maps the paragraph styles of a DOCX to roles: title, heading, list item or plain text.

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// The role of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParagraphRole {
    Title,
    /// The level, 1 to 6.
    Heading(u8),
    Bullet,
    Plain,
}

/// The roles of the styles, by style identifier.
///
/// Word translates the identifiers of built-in styles (`berschrift1`), but not their names
/// (`heading 1`).
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, ParagraphRole>);

impl Styles {
    /// Parses `word/styles.xml` up to the first error in the XML.
    pub(super) fn parse(xml: &str) -> Self {
        let mut roles = HashMap::new();
        let mut current: Option<(String, ParagraphRole)> = None;
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event() {
                Ok(Event::Start(tag) | Event::Empty(tag)) => match (tag.name().as_ref(), &mut current) {
                    ("w:style", _) => {
                        current = attribute(&tag, "w:styleId").map(|id| (id, ParagraphRole::Plain))
                    }
                    ("w:name", Some((_, role))) => {
                        *role = role_from_name(&attribute(&tag, "w:val").unwrap_or_default(), *role)
                    }
                    ("w:outlineLvl", Some((_, role @ (ParagraphRole::Plain | ParagraphRole::Bullet)))) => {
                        *role = outline_level(&tag).map_or(*role, ParagraphRole::Heading);
                    }
                    ("w:numId", Some((_, role @ ParagraphRole::Plain))) => *role = ParagraphRole::Bullet,
                    _ => {}
                },
                Ok(Event::End(tag)) if tag.name().as_ref() == "w:style" => roles.extend(current.take()),
                Ok(Event::Eof) | Err(_) => return Self(roles),
                Ok(_) => {}
            }
        }
    }

    /// Returns the role of a style, which is guessed from its identifier if the style is unknown.
    pub(super) fn role(&self, style_id: &str) -> ParagraphRole {
        self.0.get(style_id).copied().unwrap_or_else(|| role_from_name(style_id, ParagraphRole::Plain))
    }
}

/// Returns the role of a built-in style by its name, in any case and with or without spaces.
fn role_from_name(name: &str, default: ParagraphRole) -> ParagraphRole {
    let name = name.to_lowercase().replace(' ', "");
    if name == "title" {
        return ParagraphRole::Title;
    }
    if let Some(level) = name.strip_prefix("heading").and_then(|level| level.parse::<u8>().ok()) {
        return ParagraphRole::Heading(level.clamp(1, 6));
    }
    if name.starts_with("listbullet") || name.starts_with("listnumber") {
        ParagraphRole::Bullet
    } else {
        default
    }
}

/// Returns the heading level, starting at 1, of a `w:outlineLvl` element, or `None` for a level
/// that is too deep or means body text (9).
pub(super) fn outline_level(tag: &BytesStart<'_>) -> Option<u8> {
    let level: u8 = attribute(tag, "w:val")?.parse().ok()?;
    (level < 6).then_some(level + 1)
}

pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(attribute.value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_recognized_by_name_not_by_identifier() {
        let xml = r#"<w:styles><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
            <w:style w:styleId="Punkt"><w:name w:val="Punkte"/><w:pPr><w:numPr><w:numId w:val="3"/></w:numPr></w:pPr></w:style>
            <w:style w:styleId="Firma"><w:name w:val="Firma"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>"#;
        let styles = Styles::parse(xml);
        assert_eq!(styles.role("berschrift2"), ParagraphRole::Heading(2));
        assert_eq!(styles.role("Punkt"), ParagraphRole::Bullet);
        assert_eq!(styles.role("Firma"), ParagraphRole::Heading(2));
        assert_eq!(styles.role("Heading1"), ParagraphRole::Heading(1));
        assert_eq!(styles.role("Normal"), ParagraphRole::Plain);
    }
}
