//! What can be wrong with a resume file, each said with the way out.

use super::file::{EXTENSIONS, MAX_FILE_BYTES};

/// Why a resume was not loaded.
///
/// The owner sees these at start-up and in `resume-chatbot check`, beside the path; visitors never do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Nothing is at the path.
    #[error(
        "there is no such file; check the spelling, and whether the path is relative to the right folder"
    )]
    NotFound,
    /// The path is a folder.
    #[error("this is a folder; give the path of the resume file inside it")]
    IsFolder,
    /// A device, pipe or socket: its size cannot be known beforehand.
    #[error(
        "this is not a regular file (but a device, pipe or socket); copy the resume into a file of its own"
    )]
    NotRegular,
    /// The operating system refused to read it.
    #[error("the file cannot be read; check its permissions and those of the folders above it")]
    Unreadable(#[source] std::io::Error),
    /// Zero bytes, or nothing but white space and markup.
    #[error("there is no text in it; write the resume into it, or give another file")]
    Empty,
    /// Over [`MAX_FILE_BYTES`], in bytes; a file that grows while being read is reported at the size where reading stopped.
    #[error(
        "it is {size} bytes; at most {} MiB are accepted, so leave out pictures or save a smaller copy",
        MAX_FILE_BYTES / (1024 * 1024)
    )]
    TooLarge {
        /// In bytes.
        size: u64,
    },
    /// The extension names no format that can be read.
    #[error("files ending in `{given}` cannot be read; accepted are {}", EXTENSIONS.join(", "))]
    UnknownExtension {
        /// With its dot; `nothing` where there is none.
        given: String,
    },
    /// The content is of another kind than the extension says.
    #[error("it is named {extension} but {found}; {advice}")]
    WrongContent {
        /// With its dot.
        extension: &'static str,
        /// What the first bytes look like.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Text that is not UTF-8.
    #[error(
        "it is not UTF-8 text (the first wrong byte is at offset {offset}); save it again with the encoding UTF-8"
    )]
    NotUtf8 {
        /// Counted from 0 at the start of the file.
        offset: usize,
    },
    /// Text with the byte order mark of UTF-16, as some Windows editors save it.
    #[error("it is UTF-16 text; save it again with the encoding UTF-8")]
    Utf16,
    /// JSON with a mistake in it.
    #[error("it is not valid JSON at line {line}, column {column}: {detail}")]
    InvalidJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// In the parser's words.
        detail: String,
    },
    /// JSON of a resume where a field has the wrong type.
    #[error("it does not follow the JSON Resume schema at line {line}, column {column}: {detail}")]
    JsonShape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// In the parser's words.
        detail: String,
    },
    /// JSON without `basics` and without any section of JSON Resume.
    #[error(
        "it is JSON but not a JSON Resume: it has neither `basics` nor any section such as `work`, `education` or `skills`; see https://jsonresume.org/schema"
    )]
    NotJsonResume,
    /// A PDF that needs a password to be opened.
    #[error("the PDF is protected by a password; save a copy without one")]
    Encrypted,
    /// A PDF of pictures, such as a scan.
    #[error(
        "the PDF has pages but no text, so it is probably a scan; export it from the program it was written in"
    )]
    NoTextInPdf,
    /// A document whose structure is broken.
    #[error(
        "the {format} file is damaged ({detail}); export it again, or give the resume as Markdown or plain text"
    )]
    Damaged {
        /// `PDF` or `DOCX`.
        format: &'static str,
        /// What was found.
        detail: String,
    },
    /// A document that unpacks to far more than a resume has.
    #[error(
        "the {format} file unpacks to more than {limit_mib} MiB; save a copy without pictures and attachments"
    )]
    UnpacksTooLarge {
        /// `PDF` or `DOCX`.
        format: &'static str,
        /// In MiB.
        limit_mib: u64,
    },
    /// A document that is too intricate to read in bounded time.
    #[error(
        "reading the {format} file was given up after {seconds} seconds; export it again, or give the resume as Markdown"
    )]
    TooSlow {
        /// `PDF`.
        format: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The library that reads the format gave up on something it does not know.
    #[error(
        "the {format} file has something in it that cannot be read ({detail}); export it again, or give the resume as Markdown"
    )]
    Unparsable {
        /// Such as `PDF`.
        format: &'static str,
        /// What the library said.
        detail: String,
    },
}
