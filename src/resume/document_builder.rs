//! Collects headings and lines from any format, tidies them, and closes them into a document.

use super::{Document, ResumeError, Section};

/// The title of what stands above the first heading: usually a job title and contact details.
const PREAMBLE: &str = "About";

/// What a reader of a format writes into.
#[derive(Debug, Default)]
pub(super) struct Outline {
    name: Option<String>,
    sections: Vec<Section>,
}

impl Outline {
    /// The first name that is given stays.
    pub(super) fn name(&mut self, name: &str) {
        let name = tidy(name);
        if self.name.is_none() && !name.is_empty() {
            self.name = Some(name);
        }
    }

    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Starts a section; an empty title starts none.
    pub(super) fn heading(&mut self, level: u8, title: &str) {
        let title = tidy(title);
        let title = title.trim_end_matches(':').trim_end();
        if !title.is_empty() {
            self.sections.push(Section {
                title: title.to_owned(),
                level: level.clamp(1, 6),
                text: String::new(),
            });
        }
    }

    /// Adds a paragraph; line feeds in it become lines of their own.
    pub(super) fn paragraph(&mut self, text: &str) {
        for line in text.lines() {
            self.line("", &tidy(line));
        }
    }

    pub(super) fn bullet(&mut self, text: &str) {
        self.line("- ", &tidy(text));
    }

    fn line(&mut self, prefix: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.sections.is_empty() {
            self.heading(1, PREAMBLE);
        }
        if let Some(section) = self.sections.last_mut() {
            if !section.text.is_empty() {
                section.text.push('\n');
            }
            section.text.push_str(prefix);
            section.text.push_str(text);
        }
    }

    /// # Errors
    ///
    /// [`ResumeError::Empty`] where no section has any text.
    pub(super) fn finish(mut self, stem: &str) -> Result<Document, ResumeError> {
        if self.sections.iter().all(|section| section.text.is_empty()) {
            return Err(ResumeError::Empty);
        }
        // The outermost headings are level 1, whether the file began them at `#` or at `###`.
        let top = self
            .sections
            .iter()
            .filter(|section| section.title != PREAMBLE)
            .map(|section| section.level)
            .min();
        for section in &mut self.sections {
            section.level = (section.level + 1).saturating_sub(top.unwrap_or(1)).max(1);
        }
        let first_title =
            self.sections.iter().map(|section| section.title.as_str()).find(|title| *title != PREAMBLE);
        let name =
            self.name.take().or_else(|| first_title.map(str::to_owned)).unwrap_or_else(|| stem.to_owned());
        Ok(Document { name, sections: self.sections })
    }
}

/// One line: no control or invisible characters, any white space as single blanks, ligatures as letters.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_whitespace() => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            // Zero-width spaces, byte order marks and direction overrides; joiners stay, emoji and Persian need them.
            '\u{200B}'
            | '\u{2060}'
            | '\u{FEFF}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{AD}'
            | '\u{FFFD}' => {}
            '\u{E000}'..='\u{F8FF}' => {}
            '\u{FB00}' => out.push_str("ff"),
            '\u{FB01}' => out.push_str("fi"),
            '\u{FB02}' => out.push_str("fl"),
            '\u{FB03}' => out.push_str("ffi"),
            '\u{FB04}' => out.push_str("ffl"),
            _ if character.is_control() => {}
            _ => out.push(character),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_leaves_one_clean_line() {
        assert_eq!(tidy("  a\u{a0}\tb\u{200B}c\u{0} \u{FB01}x \n"), "a bc fix");
    }

    #[test]
    fn text_above_the_first_heading_is_titled_about() {
        let mut outline = Outline::default();
        outline.paragraph("mail@example.org");
        outline.heading(2, "Skills:");
        outline.bullet("Rust");
        let document = outline.finish("cv").unwrap();
        let titles: Vec<_> =
            document.sections.iter().map(|s| (s.title.as_str(), s.level, s.text.as_str())).collect();
        assert_eq!(titles, [("About", 1, "mail@example.org"), ("Skills", 1, "- Rust")]);
        assert_eq!(document.name, "Skills");
    }

    #[test]
    fn headings_without_any_text_are_no_resume() {
        let mut outline = Outline::default();
        outline.heading(1, "Skills");
        assert!(matches!(outline.finish("cv"), Err(ResumeError::Empty)));
    }
}
