//! Reads DOCX: unpacks the XML parts of the archive with a size limit and parses their paragraphs.

mod blocks;
mod styles;

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::ResumeError;
use super::document_builder::DocumentBuilder;
use styles::Styles;

/// The maximum decompressed size of all parts together. A long resume has a few hundred KiB of XML.
const MAX_UNPACKED_MIB: u64 = 32;

/// The number of page headers that are read: one for each kind of page (first, odd, even).
const HEADERS: std::ops::RangeInclusive<u8> = 1..=3;

pub(super) fn parse(bytes: &[u8]) -> Result<DocumentBuilder, ResumeError> {
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let mut parts = Parts { archive, remaining_bytes: MAX_UNPACKED_MIB * 1024 * 1024 };
    let styles = parts.read("word/styles.xml")?.map(|xml| Styles::parse(&xml)).unwrap_or_default();
    let document = parts.read("word/document.xml")?.ok_or_else(|| ResumeError::Damaged {
        format: "DOCX",
        detail: "it has no word/document.xml, so it is not a Word document".to_owned(),
    })?;
    let mut blocks = Vec::new();
    // Names and addresses are often in the page header, which is a part of its own.
    for number in HEADERS {
        if let Some(header) = parts.read(&format!("word/header{number}.xml"))? {
            for block in blocks::parse_blocks(&header, &styles).unwrap_or_default() {
                if !blocks.contains(&block) && block.text.chars().any(char::is_alphabetic) {
                    blocks.push(block);
                }
            }
        }
    }
    blocks.extend(
        blocks::parse_blocks(&document, &styles)
            .map_err(|detail| ResumeError::Damaged { format: "DOCX", detail })?,
    );
    Ok(blocks::build_document(&blocks))
}

fn damaged(error: &zip::result::ZipError) -> ResumeError {
    ResumeError::Damaged { format: "DOCX", detail: error.to_string() }
}

struct Parts<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// How much more the parts may decompress to.
    remaining_bytes: u64,
}

impl Parts<'_> {
    /// Returns the text of a part, or `None` if the archive does not have it.
    fn read(&mut self, name: &str) -> Result<Option<String>, ResumeError> {
        let file = match self.archive.by_name(name) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(&error)),
        };
        let mut bytes = Vec::new();
        // The size that the archive declares can be wrong, so the reader is limited instead.
        let read_result = file.take(self.remaining_bytes + 1).read_to_end(&mut bytes);
        let unpacked = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if unpacked > self.remaining_bytes {
            return Err(ResumeError::UnpacksTooLarge { format: "DOCX", limit_mib: MAX_UNPACKED_MIB });
        }
        read_result.map_err(|error| ResumeError::Damaged { format: "DOCX", detail: error.to_string() })?;
        self.remaining_bytes -= unpacked;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}
