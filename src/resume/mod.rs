//! Loads a resume file in any supported format into one document of titled sections.
//!
//! ```text
//! path ── file (regular, 1 byte to 10 MiB) ──► markdown │ plain_text │ json_resume │ pdf │ docx
//!                                                           │
//!                                                    DocumentBuilder ──► Document
//! ```
//!
//! [`load`] is called once, at start-up, and blocks. Every input is bounded: the file size, the
//! size an archive decompresses to, and the time a PDF may take. Panics of the format libraries
//! become errors.

mod document_builder;
mod docx;
mod error;
mod file;
mod headings;
mod json_resume;
pub mod links;
mod markdown;
mod pdf;
mod plain_text;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sha2::{Digest, Sha256};

pub use error::ResumeError;
pub use file::MAX_FILE_BYTES;

use document_builder::DocumentBuilder;
use file::ResumeFormat;

/// A resume, independent of the format it was loaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The person's name. If none is found, the title of the first section, or else the file name
    /// without its extension.
    pub name: String,
    /// In reading order. A section of level 2 or more belongs to the nearest section before it that
    /// has a smaller level.
    pub sections: Vec<Section>,
}

/// A heading with the text below it, up to the next heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// One line without markup. Text before the first heading of a file gets the title `About`.
    pub title: String,
    /// 1 for a section such as `Experience`, 2 for one employer in it, and so on, up to 6.
    pub level: u8,
    /// Paragraphs and bullets, one per line, separated by `\n`. A bullet starts with `- `. Table
    /// cells, and pieces of a line with a wide gap between them, are separated by ` | `. Empty if
    /// the section only has subsections.
    pub text: String,
}

/// Loads the resume at `path`. The extension selects the format, and the content must match it.
///
/// Blocks while reading and parsing: milliseconds for a real resume, at most 20 seconds for a
/// hostile PDF.
///
/// # Errors
///
/// Returns a [`ResumeError`], whose message says what is wrong and what to do about it, without
/// repeating the path.
pub fn load(path: &Path) -> Result<Document, ResumeError> {
    let (format, bytes) = file::read(path)?;
    let file_stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parsed = catch_unwind(AssertUnwindSafe(|| parse(format, &bytes)));
    let builder = parsed.unwrap_or_else(|panic| {
        Err(ResumeError::Unparsable { format: format.name(), detail: panic_message(panic.as_ref()) })
    })?;
    builder.build(&file_stem)
}

fn parse(format: ResumeFormat, bytes: &[u8]) -> Result<DocumentBuilder, ResumeError> {
    match format {
        ResumeFormat::Markdown => Ok(markdown::parse(file::decode_utf8(bytes)?)),
        ResumeFormat::PlainText => Ok(plain_text::parse(file::decode_utf8(bytes)?)),
        ResumeFormat::Json => json_resume::parse(file::decode_utf8(bytes)?),
        ResumeFormat::Pdf => pdf::parse(bytes),
        ResumeFormat::Docx => docx::parse(bytes),
    }
}

/// Returns the first line of a panic message, at most 200 characters of it.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

impl Document {
    /// Renders the document as Markdown, for the system prompt. Ends with one line feed.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut markdown = format!("# {}\n", self.name);
        for section in &self.sections {
            let hashes = "#".repeat(usize::from(section.level.clamp(1, 5)) + 1);
            // Writing to a String cannot fail.
            let _ = write!(markdown, "\n{hashes} {}\n", section.title);
            if !section.text.is_empty() {
                markdown.push('\n');
            }
            let mut previous_is_bullet = None;
            for line in section.text.lines() {
                let is_bullet = line.starts_with("- ");
                // Without an empty line between them, Markdown joins two paragraphs into one.
                if previous_is_bullet.is_some_and(|previous| !(previous && is_bullet)) {
                    markdown.push('\n');
                }
                markdown.push_str(line);
                markdown.push('\n');
                previous_is_bullet = Some(is_bullet);
            }
        }
        markdown
    }

    /// Returns the first 12 hexadecimal digits of the SHA-256 of [`Document::to_markdown`].
    ///
    /// The revision changes with the text, not with bytes of the file that do not affect the text.
    #[must_use]
    pub fn revision(&self) -> String {
        let digest = Sha256::digest(self.to_markdown().as_bytes());
        digest.iter().take(6).fold(String::with_capacity(12), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let section =
            |title: &str, level, text: &str| Section { title: title.into(), level, text: text.into() };
        Document {
            name: "Mara".into(),
            sections: vec![
                section("Experience", 1, ""),
                section("Halden Pay", 2, "Ledger.\n- one\n- two\nAfter."),
            ],
        }
    }

    #[test]
    fn markdown_separates_paragraphs_but_not_bullets() {
        assert_eq!(
            document().to_markdown(),
            "# Mara\n\n## Experience\n\n### Halden Pay\n\nLedger.\n\n- one\n- two\n\nAfter.\n"
        );
    }

    #[test]
    fn parsing_the_rendered_markdown_gives_the_same_document() {
        let parsed = markdown::parse(&document().to_markdown()).build("x").unwrap();
        assert_eq!(parsed, document());
    }

    #[test]
    fn revision_has_twelve_hex_digits_and_changes_with_the_text() {
        let (first, mut changed) = (document(), document());
        changed.sections[1].text.push('!');
        assert_eq!(first.revision().len(), 12);
        assert!(first.revision().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(first.revision(), document().revision());
        assert_ne!(first.revision(), changed.revision());
    }
}
