//! Builds a document from headings, paragraphs and bullets in reading order.

use super::{Document, ResumeError, Section};

/// The title of the text before the first heading, usually a job title and contact details.
const PREAMBLE_TITLE: &str = "About";

/// Collects what a format reader finds. All texts are cleaned with [`clean_line`].
#[derive(Debug, Default)]
pub(super) struct DocumentBuilder {
    name: Option<String>,
    sections: Vec<Section>,
}

impl DocumentBuilder {
    /// Sets the person's name, unless the name is blank or already set.
    pub(super) fn set_name(&mut self, name: &str) {
        let name = clean_line(name);
        if self.name.is_none() && !name.is_empty() {
            self.name = Some(name);
        }
    }

    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// Returns true if there is no section yet. The name does not count.
    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Starts a section. Ignores a blank title.
    pub(super) fn push_heading(&mut self, level: u8, title: &str) {
        let title = clean_line(title);
        let title = title.trim_end_matches(':').trim_end();
        if !title.is_empty() {
            self.sections.push(Section {
                title: title.to_owned(),
                level: level.clamp(1, 6),
                text: String::new(),
            });
        }
    }

    /// Adds each line of the text as a paragraph.
    pub(super) fn push_paragraph(&mut self, text: &str) {
        for line in text.lines() {
            self.push_line("", &clean_line(line));
        }
    }

    /// Adds the text, including any line feeds, as one bullet.
    pub(super) fn push_bullet(&mut self, text: &str) {
        self.push_line("- ", &clean_line(text));
    }

    fn push_line(&mut self, prefix: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.sections.is_empty() {
            self.push_heading(1, PREAMBLE_TITLE);
        }
        if let Some(section) = self.sections.last_mut() {
            if !section.text.is_empty() {
                section.text.push('\n');
            }
            section.text.push_str(prefix);
            section.text.push_str(text);
        }
    }

    /// Builds the document, named `fallback_name` if neither a name nor a section title was found.
    ///
    /// # Errors
    ///
    /// Returns [`ResumeError::Empty`] if no section has any text.
    pub(super) fn build(mut self, fallback_name: &str) -> Result<Document, ResumeError> {
        if self.sections.iter().all(|section| section.text.is_empty()) {
            return Err(ResumeError::Empty);
        }
        // Shift the levels so that the outermost headings have level 1, wherever the file starts.
        let outermost = self
            .sections
            .iter()
            .filter(|section| section.title != PREAMBLE_TITLE)
            .map(|section| section.level)
            .min();
        for section in &mut self.sections {
            section.level = (section.level + 1).saturating_sub(outermost.unwrap_or(1)).max(1);
        }
        let first_title =
            self.sections.iter().map(|section| section.title.as_str()).find(|title| *title != PREAMBLE_TITLE);
        let name = self
            .name
            .take()
            .or_else(|| first_title.map(str::to_owned))
            .unwrap_or_else(|| fallback_name.to_owned());
        Ok(Document { name, sections: self.sections })
    }
}

/// Makes one line of plain text: removes control, invisible and private-use characters, replaces
/// any run of white space by one space, and writes ligatures as letters.
pub(super) fn clean_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_whitespace() => {
                if !line.is_empty() && !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            // Zero-width spaces, direction overrides and isolates, soft hyphens and replacement
            // characters. Joiners stay, because emoji and Persian need them.
            '\u{200B}'
            | '\u{2060}'
            | '\u{FEFF}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{AD}'
            | '\u{FFFD}' => {}
            '\u{E000}'..='\u{F8FF}' => {}
            '\u{FB00}' => line.push_str("ff"),
            '\u{FB01}' => line.push_str("fi"),
            '\u{FB02}' => line.push_str("fl"),
            '\u{FB03}' => line.push_str("ffi"),
            '\u{FB04}' => line.push_str("ffl"),
            _ if character.is_control() => {}
            _ => line.push(character),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_line_normalizes_white_space_and_ligatures_and_drops_invisible_characters() {
        assert_eq!(clean_line("  a\u{a0}\tb\u{200B}c\u{0} \u{FB01}x \n"), "a bc fix");
    }

    #[test]
    fn text_before_the_first_heading_is_titled_about() {
        let mut builder = DocumentBuilder::default();
        builder.push_paragraph("mail@example.org");
        builder.push_heading(2, "Skills:");
        builder.push_bullet("Rust");
        let document = builder.build("cv").unwrap();
        let sections: Vec<_> = document
            .sections
            .iter()
            .map(|section| (section.title.as_str(), section.level, section.text.as_str()))
            .collect();
        assert_eq!(sections, [("About", 1, "mail@example.org"), ("Skills", 1, "- Rust")]);
        assert_eq!(document.name, "Skills");
    }

    #[test]
    fn headings_without_text_are_refused_as_empty() {
        let mut builder = DocumentBuilder::default();
        builder.push_heading(1, "Skills");
        assert!(matches!(builder.build("cv"), Err(ResumeError::Empty)));
    }
}
