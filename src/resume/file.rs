//! Gets the bytes of a resume file, never more than a resume may have, and tells its format.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::ResumeError;

/// The largest resume file accepted, in bytes. A long resume with photographs has one or two MiB; what is larger is a mistake.
pub const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// The extensions [`super::load`] accepts, in any case of letters.
pub const EXTENSIONS: [&str; 7] = [".md", ".markdown", ".txt", ".text", ".json", ".pdf", ".docx"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    Plain,
    Json,
    Pdf,
    Docx,
}

impl Format {
    fn of(path: &Path) -> Result<Self, ResumeError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("txt" | "text") => Ok(Self::Plain),
            Some("json") => Ok(Self::Json),
            Some("pdf") => Ok(Self::Pdf),
            Some("docx") => Ok(Self::Docx),
            Some(other) => Err(ResumeError::UnknownExtension { given: format!(".{other}") }),
            None => Err(ResumeError::UnknownExtension { given: "nothing".to_owned() }),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::Plain => "text",
            Self::Json => "JSON",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Markdown => ".md",
            Self::Plain => ".txt",
            Self::Json => ".json",
            Self::Pdf => ".pdf",
            Self::Docx => ".docx",
        }
    }
}

/// Reads the file whole, checked before opening (a pipe would block), after opening (it may have been replaced), and while
/// reading (it may grow).
pub(super) fn read(path: &Path) -> Result<(Format, Vec<u8>), ResumeError> {
    check(&std::fs::metadata(path).map_err(unreadable)?)?;
    let format = Format::of(path)?;
    let file = File::open(path).map_err(unreadable)?;
    check(&file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
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

fn unreadable(error: std::io::Error) -> ResumeError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ResumeError::NotFound,
        ErrorKind::IsADirectory => ResumeError::IsFolder,
        _ => ResumeError::Unreadable(error),
    }
}

fn check(metadata: &std::fs::Metadata) -> Result<(), ResumeError> {
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

/// The PDF standard lets readers accept a header that is preceded by up to this many other bytes.
const PDF_HEADER_WITHIN: usize = 1024;

fn check_content(format: Format, bytes: &[u8]) -> Result<(), ResumeError> {
    const RENAME: &str = "give it the extension of its real format";
    let head = bytes.get(..PDF_HEADER_WITHIN).unwrap_or(bytes);
    let (pdf, zip) = (bytes.starts_with(b"%PDF-"), bytes.starts_with(b"PK\x03\x04"));
    let old_office = bytes.starts_with(b"\xD0\xCF\x11\xE0");
    let found = match format {
        Format::Pdf if head.windows(5).any(|window| window == b"%PDF-") => return Ok(()),
        Format::Docx if zip => return Ok(()),
        Format::Docx if old_office => {
            return Err(ResumeError::WrongContent {
                extension: format.extension(),
                found: "it is an old Word file or is protected by a password",
                advice: "save it as .docx without a password",
            });
        }
        _ if pdf => "its content is a PDF",
        _ if zip => "its content is a ZIP archive, as DOCX files are",
        Format::Pdf => "it does not start with `%PDF-`",
        Format::Docx => "it does not start like a ZIP archive, as DOCX files do",
        Format::Markdown | Format::Plain | Format::Json => return Ok(()),
    };
    let advice =
        if pdf || zip { RENAME } else { "export it again, or give it the extension of its real format" };
    Err(ResumeError::WrongContent { extension: format.extension(), found, advice })
}

/// The text of the file without a byte order mark.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ResumeError> {
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
    fn a_byte_order_mark_is_not_text_and_the_first_wrong_byte_is_told() {
        assert_eq!(utf8(b"\xEF\xBB\xBFhi").unwrap(), "hi");
        assert!(matches!(utf8(b"ab\xFFc"), Err(ResumeError::NotUtf8 { offset: 2 })));
        assert!(matches!(utf8(b"\xFF\xFEh\0"), Err(ResumeError::Utf16)));
    }

    #[test]
    fn content_must_agree_with_the_extension() {
        assert!(check_content(Format::Pdf, b"junk first\n%PDF-1.7").is_ok());
        assert!(check_content(Format::Pdf, b"# Mara").is_err());
        assert!(check_content(Format::Markdown, b"%PDF-1.7").is_err());
        assert!(check_content(Format::Plain, b"PK\x03\x04").is_err());
        let old = check_content(Format::Docx, b"\xD0\xCF\x11\xE0rest").unwrap_err();
        assert!(old.to_string().contains("old Word file"), "{old}");
    }

    #[test]
    fn every_listed_extension_is_known_in_any_case() {
        for extension in EXTENSIONS {
            assert!(Format::of(Path::new(&format!("cv{}", extension.to_uppercase()))).is_ok());
        }
        assert!(Format::of(Path::new("cv")).is_err());
    }
}
