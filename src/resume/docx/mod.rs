//! Reads DOCX: opens the archive within bounds and hands its parts to the reader of paragraphs.

mod blocks;
mod styles;

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::ResumeError;
use super::document_builder::Outline;
use styles::Styles;

/// All parts read together unpack to at most this. The text of a long resume has some hundred KiB of XML.
const MAX_UNPACKED_MIB: u64 = 32;

pub(super) fn parse(bytes: &[u8]) -> Result<Outline, ResumeError> {
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let mut parts = Parts { archive, budget: MAX_UNPACKED_MIB * 1024 * 1024 };
    let styles = parts.read("word/styles.xml")?.map(|xml| Styles::parse(&xml)).unwrap_or_default();
    let body = parts.read("word/document.xml")?.ok_or_else(|| ResumeError::Damaged {
        format: "DOCX",
        detail: "it has no word/document.xml, so it is not a Word document".to_owned(),
    })?;
    let mut blocks = Vec::new();
    // Names and addresses often stand in the page header, which is a part of its own (one for each kind of page).
    for number in 1..=3 {
        if let Some(header) = parts.read(&format!("word/header{number}.xml"))? {
            for block in blocks::blocks(&header, &styles).unwrap_or_default() {
                if !blocks.contains(&block) && block.text.chars().any(char::is_alphabetic) {
                    blocks.push(block);
                }
            }
        }
    }
    blocks.extend(
        blocks::blocks(&body, &styles).map_err(|detail| ResumeError::Damaged { format: "DOCX", detail })?,
    );
    Ok(blocks::outline(&blocks))
}

fn damaged(error: &zip::result::ZipError) -> ResumeError {
    ResumeError::Damaged { format: "DOCX", detail: error.to_string() }
}

/// The archive's parts, with what may still be unpacked.
struct Parts<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    budget: u64,
}

impl Parts<'_> {
    /// The part's text, `None` where the archive has no such part.
    fn read(&mut self, name: &str) -> Result<Option<String>, ResumeError> {
        let file = match self.archive.by_name(name) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(&error)),
        };
        let mut bytes = Vec::new();
        // The size the archive declares is not to be believed, so the reading itself is bounded.
        let read = file.take(self.budget + 1).read_to_end(&mut bytes);
        let unpacked = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if unpacked > self.budget {
            return Err(ResumeError::UnpacksTooLarge { format: "DOCX", limit_mib: MAX_UNPACKED_MIB });
        }
        read.map_err(|error| ResumeError::Damaged { format: "DOCX", detail: error.to_string() })?;
        self.budget -= unpacked;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}
