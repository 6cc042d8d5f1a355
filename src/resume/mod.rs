//! A resume file in, one document of titled sections out.
//!
//! ```text
//! path ── file (regular, 1 byte to 10 MiB) ──► markdown │ plain │ json_resume │ pdf │ docx
//!                                                           │
//!                                                       outline ──► Document
//! ```
//!
//! Nothing here is asynchronous and nothing is kept: [`load`] blocks, and is called once at start-up. No reader sees more
//! than the capped bytes, no archive is unpacked past its own cap, and no parser's panic gets out.

mod document_builder;
mod docx;
mod error;
mod file;
mod headings;
mod json_resume;
mod markdown;
mod pdf;
mod plain_text;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sha2::{Digest, Sha256};

pub use error::ResumeError;
pub use file::{EXTENSIONS, MAX_FILE_BYTES};

use document_builder::Outline;
use file::Format;

/// A resume, whatever file it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The person's name; where none can be told, the first section's title or the file's name without extension.
    pub name: String,
    /// In reading order. A section with `level` 2 or more belongs to the nearest one above it with a smaller level.
    pub sections: Vec<Section>,
}

/// A heading and what stands under it, up to the next heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// One line without markup. What stands above the first heading of a file is titled `About`.
    pub title: String,
    /// 1 for `Experience`, 2 for one employer in it, and so on up to 6.
    pub level: u8,
    /// Paragraphs and bullets, one a line, separated by `\n`; a bullet starts with `- `, cells of a row and far-apart pieces of
    /// a line are separated by ` | `. Empty where the section only holds further sections.
    pub text: String,
}

/// Reads the resume at `path`; the extension names the format, and the content must agree with it.
///
/// Blocks while reading and parsing: milliseconds for a real resume, 20 seconds at the very most for a hostile PDF.
///
/// # Errors
///
/// Each [`ResumeError`] says what is wrong and what to do about it, without repeating the path.
pub fn load(path: &Path) -> Result<Document, ResumeError> {
    let (format, bytes) = file::read(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parsed = catch_unwind(AssertUnwindSafe(|| parse(format, &bytes)));
    let outline = parsed.unwrap_or_else(|panic| {
        Err(ResumeError::Unparsable { format: format.name(), detail: panic_message(panic.as_ref()) })
    })?;
    outline.finish(&stem)
}

fn parse(format: Format, bytes: &[u8]) -> Result<Outline, ResumeError> {
    match format {
        Format::Markdown => Ok(markdown::parse(file::utf8(bytes)?)),
        Format::Plain => Ok(plain_text::parse(file::utf8(bytes)?)),
        Format::Json => json_resume::parse(file::utf8(bytes)?),
        Format::Pdf => pdf::parse(bytes),
        Format::Docx => docx::parse(bytes),
    }
}

/// What a third-party parser said when it gave up by panicking.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

impl Document {
    /// The whole document as Markdown: what the model is shown. Ends with one line feed.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n", self.name);
        for section in &self.sections {
            let hashes = "#".repeat(usize::from(section.level.clamp(1, 5)) + 1);
            // Writing to a String cannot fail.
            let _ = write!(out, "\n{hashes} {}\n", section.title);
            if !section.text.is_empty() {
                out.push('\n');
            }
            let mut after_bullet = None;
            for line in section.text.lines() {
                let bullet = line.starts_with("- ");
                // Without an empty line between them, Markdown reads two paragraphs as one.
                if after_bullet.is_some_and(|previous| !(previous && bullet)) {
                    out.push('\n');
                }
                out.push_str(line);
                out.push('\n');
                after_bullet = Some(bullet);
            }
        }
        out
    }

    /// The first 12 hexadecimal digits of the SHA-256 of [`Document::to_markdown`]: changes when the text
    /// does, and not when only the bytes of the file did.
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
    fn markdown_keeps_bullets_together_and_paragraphs_apart() {
        assert_eq!(
            document().to_markdown(),
            "# Mara\n\n## Experience\n\n### Halden Pay\n\nLedger.\n\n- one\n- two\n\nAfter.\n"
        );
    }

    #[test]
    fn markdown_read_again_is_the_same_document() {
        let again = markdown::parse(&document().to_markdown()).finish("x").unwrap();
        assert_eq!(again, document());
    }

    #[test]
    fn the_revision_is_twelve_hex_digits_and_follows_the_content() {
        let (first, mut changed) = (document(), document());
        changed.sections[1].text.push('!');
        assert_eq!(first.revision().len(), 12);
        assert!(first.revision().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(first.revision(), document().revision());
        assert_ne!(first.revision(), changed.revision());
    }
}
