//! What the paragraph styles of a DOCX mean: title, heading, list item or plain.

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// What a paragraph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Title,
    /// 1 to 6.
    Heading(u8),
    Bullet,
    Plain,
}

/// Roles by style identifier. The identifiers are in the language of the Word that wrote the file (`berschrift1`), the names
/// are not (`heading 1`).
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Role>);

impl Styles {
    /// Reads as far as the XML is in order; a style that is missing is plain.
    pub(super) fn parse(xml: &str) -> Self {
        let mut roles = HashMap::new();
        let mut current: Option<(String, Role)> = None;
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event() {
                Ok(Event::Start(tag) | Event::Empty(tag)) => match (tag.name().as_ref(), &mut current) {
                    ("w:style", _) => current = attribute(&tag, "w:styleId").map(|id| (id, Role::Plain)),
                    ("w:name", Some((_, role))) => {
                        *role = named(&attribute(&tag, "w:val").unwrap_or_default(), *role)
                    }
                    ("w:outlineLvl", Some((_, role @ (Role::Plain | Role::Bullet)))) => {
                        *role = outline_level(&tag).map_or(*role, Role::Heading);
                    }
                    ("w:numId", Some((_, role @ Role::Plain))) => *role = Role::Bullet,
                    _ => {}
                },
                Ok(Event::End(tag)) if tag.name().as_ref() == "w:style" => roles.extend(current.take()),
                Ok(Event::Eof) | Err(_) => return Self(roles),
                Ok(_) => {}
            }
        }
    }

    pub(super) fn role(&self, style: &str) -> Role {
        self.0.get(style).copied().unwrap_or_else(|| named(style, Role::Plain))
    }
}

/// The role of a style's built-in name, or of an identifier that is the name without its blanks.
fn named(name: &str, otherwise: Role) -> Role {
    let name = name.to_lowercase().replace(' ', "");
    if name == "title" {
        return Role::Title;
    }
    if let Some(level) = name.strip_prefix("heading").and_then(|level| level.parse::<u8>().ok()) {
        return Role::Heading(level.clamp(1, 6));
    }
    if name.starts_with("listbullet") || name.starts_with("listnumber") { Role::Bullet } else { otherwise }
}

/// The level an outline attribute gives; the 10th (9) means body text.
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
    fn styles_are_known_by_name_whatever_their_identifier() {
        let xml = r#"<w:styles><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
            <w:style w:styleId="Punkt"><w:name w:val="Punkte"/><w:pPr><w:numPr><w:numId w:val="3"/></w:numPr></w:pPr></w:style>
            <w:style w:styleId="Firma"><w:name w:val="Firma"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>"#;
        let styles = Styles::parse(xml);
        assert_eq!(styles.role("berschrift2"), Role::Heading(2));
        assert_eq!(styles.role("Punkt"), Role::Bullet);
        assert_eq!(styles.role("Firma"), Role::Heading(2));
        assert_eq!(styles.role("Heading1"), Role::Heading(1));
        assert_eq!(styles.role("Normal"), Role::Plain);
    }
}
