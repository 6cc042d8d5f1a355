//! Reads a resume file with a size limit and determines its format.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use strum::VariantArray;

use super::ResumeError;

/// The largest resume file that is accepted, in bytes.
///
/// A long resume with photographs has one or two MiB; a larger file is probably the wrong one.
pub const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

const PDF_SIGNATURE: &[u8] = b"%PDF-";
const ZIP_SIGNATURE: &[u8] = b"PK\x03\x04";
/// The container of Word files before DOCX, and of DOCX files with a password.
const OLE_SIGNATURE: &[u8] = b"\xD0\xCF\x11\xE0";

/// The PDF standard allows up to this many bytes before the header.
const PDF_HEADER_WITHIN_BYTES: usize = 1024;

/// A supported format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub(super) enum ResumeFormat {
    Markdown,
    PlainText,
    Json,
    Pdf,
    Docx,
}

impl ResumeFormat {
    fn from_path(path: &Path) -> Result<Self, ResumeError> {
        let Some(extension) = path.extension() else {
            return Err(ResumeError::UnknownExtension { given: "nothing".to_owned() });
        };
        let extension = format!(".{}", extension.to_string_lossy().to_lowercase());
        let format = Self::VARIANTS.iter().find(|format| format.extensions().contains(&extension.as_str()));
        format.copied().ok_or(ResumeError::UnknownExtension { given: extension })
    }

    /// Returns the name used in error messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::PlainText => "text",
            Self::Json => "JSON",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
        }
    }

    /// Returns the extensions in lower case, with their dots. File names may use any case.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Markdown => &[".md", ".markdown"],
            Self::PlainText => &[".txt", ".text"],
            Self::Json => &[".json"],
            Self::Pdf => &[".pdf"],
            Self::Docx => &[".docx"],
        }
    }

    fn main_extension(self) -> &'static str {
        self.extensions().first().copied().unwrap_or_default()
    }
}

/// Lists the supported extensions for an error message.
pub(super) fn accepted_extensions() -> String {
    let extensions: Vec<&str> =
        ResumeFormat::VARIANTS.iter().flat_map(|format| format.extensions()).copied().collect();
    extensions.join(", ")
}

/// Reads the whole file.
///
/// The file type and size are checked before opening (opening a pipe would block), after opening
/// (the path may have been replaced), and while reading (the file may grow).
pub(super) fn read(path: &Path) -> Result<(ResumeFormat, Vec<u8>), ResumeError> {
    check_metadata(&std::fs::metadata(path).map_err(io_error)?)?;
    let format = ResumeFormat::from_path(path)?;
    let file = File::open(path).map_err(io_error)?;
    check_metadata(&file.metadata().map_err(io_error)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io_error)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > MAX_FILE_BYTES {
        return Err(ResumeError::TooLarge { size });
    }
    if bytes.is_empty() {
        return Err(ResumeError::Empty);
    }
    check_content(format, &bytes)?;
    Ok((format, bytes))
}

fn io_error(error: std::io::Error) -> ResumeError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ResumeError::NotFound,
        ErrorKind::IsADirectory => ResumeError::IsFolder,
        _ => ResumeError::Unreadable(error),
    }
}

fn check_metadata(metadata: &std::fs::Metadata) -> Result<(), ResumeError> {
    if metadata.is_dir() {
        Err(ResumeError::IsFolder)
    } else if !metadata.is_file() {
        Err(ResumeError::NotRegular)
    } else if metadata.len() > MAX_FILE_BYTES {
        Err(ResumeError::TooLarge { size: metadata.len() })
    } else {
        Ok(())
    }
}

/// Checks that the content is of the format that the extension names.
fn check_content(format: ResumeFormat, bytes: &[u8]) -> Result<(), ResumeError> {
    const RENAME: &str = "give it the extension of its real format";
    const EXPORT_OR_RENAME: &str = "export it again, or give it the extension of its real format";
    let head = bytes.get(..PDF_HEADER_WITHIN_BYTES).unwrap_or(bytes);
    let has_pdf_header = head.windows(PDF_SIGNATURE.len()).any(|window| window == PDF_SIGNATURE);
    let (is_pdf, is_zip) = (bytes.starts_with(PDF_SIGNATURE), bytes.starts_with(ZIP_SIGNATURE));
    let is_ole = bytes.starts_with(OLE_SIGNATURE);
    let found = match format {
        ResumeFormat::Pdf if has_pdf_header => return Ok(()),
        ResumeFormat::Docx if is_zip => return Ok(()),
        ResumeFormat::Docx if is_ole => {
            return Err(ResumeError::WrongContent {
                extension: format.main_extension(),
                found: "it is an old Word file or is protected by a password",
                advice: "save it as .docx without a password",
            });
        }
        _ if is_pdf => "its content is a PDF",
        _ if is_zip => "its content is a ZIP archive, as DOCX files are",
        ResumeFormat::Pdf => "it does not start with `%PDF-`",
        ResumeFormat::Docx => "it does not start like a ZIP archive, as DOCX files do",
        ResumeFormat::Markdown | ResumeFormat::PlainText | ResumeFormat::Json => return Ok(()),
    };
    let advice = if is_pdf || is_zip { RENAME } else { EXPORT_OR_RENAME };
    Err(ResumeError::WrongContent { extension: format.main_extension(), found, advice })
}

/// Decodes the text and removes a byte order mark.
pub(super) fn decode_utf8(bytes: &[u8]) -> Result<&str, ResumeError> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(ResumeError::Utf16);
    }
    let text = str::from_utf8(bytes).map_err(|error| ResumeError::NotUtf8 { offset: error.valid_up_to() })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_removes_the_byte_order_mark_and_reports_the_first_invalid_byte() {
        assert_eq!(decode_utf8(b"\xEF\xBB\xBFhi").unwrap(), "hi");
        assert!(matches!(decode_utf8(b"ab\xFFc"), Err(ResumeError::NotUtf8 { offset: 2 })));
        assert!(matches!(decode_utf8(b"\xFF\xFEh\0"), Err(ResumeError::Utf16)));
    }

    #[test]
    fn content_must_match_the_extension() {
        assert!(check_content(ResumeFormat::Pdf, b"junk first\n%PDF-1.7").is_ok());
        assert!(check_content(ResumeFormat::Pdf, b"# Mara").is_err());
        assert!(check_content(ResumeFormat::Markdown, b"%PDF-1.7").is_err());
        assert!(check_content(ResumeFormat::PlainText, b"PK\x03\x04").is_err());
        let old_word = check_content(ResumeFormat::Docx, b"\xD0\xCF\x11\xE0rest").unwrap_err();
        assert!(old_word.to_string().contains("old Word file"), "{old_word}");
    }

    #[test]
    fn extensions_are_recognized_in_any_case() {
        for extension in ResumeFormat::VARIANTS.iter().flat_map(|format| format.extensions()) {
            let path = format!("cv{}", extension.to_uppercase());
            assert!(ResumeFormat::from_path(Path::new(&path)).is_ok());
        }
        assert!(ResumeFormat::from_path(Path::new("cv")).is_err());
    }
}
