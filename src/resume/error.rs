//! The errors of loading a resume. Each message also says what the owner can do about it.

use super::file::{MAX_FILE_BYTES, accepted_extensions};

/// Why a resume could not be loaded.
///
/// Owners see these messages at start-up and in `resume-chatbot check`, after the path of the file.
/// Visitors never see them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The path does not exist.
    #[error("no such file; check the spelling and, for a relative path, the working directory")]
    NotFound,
    /// The path is a directory.
    #[error("this is a folder; give the path of the resume file inside it")]
    IsFolder,
    /// The path is a device, pipe or socket, which may never end.
    #[error("not a regular file but a device, pipe or socket; copy the resume to a file of its own")]
    NotRegular,
    /// The operating system denied reading the file, or reading it failed.
    #[error("the file cannot be read; check its permissions and those of the folders above it")]
    Unreadable(#[source] std::io::Error),
    /// The file has no bytes, or only white space and markup.
    #[error("the file has no text; write the resume into it, or give another file")]
    Empty,
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error(
        "the file has {size} bytes, but at most {} MiB are accepted; leave out pictures or save a smaller copy",
        MAX_FILE_BYTES / (1024 * 1024)
    )]
    TooLarge {
        /// In bytes. For a file that grows while it is read, the number of bytes read so far.
        size: u64,
    },
    /// The file name extension belongs to no supported format.
    #[error("files ending in `{given}` are not supported; supported are {}", accepted_extensions())]
    UnknownExtension {
        /// With the leading dot, or `nothing` if the file name has no extension.
        given: String,
    },
    /// The content does not match the file name extension.
    #[error("it is named {extension} but {found}; {advice}")]
    WrongContent {
        /// With the leading dot.
        extension: &'static str,
        /// A clause describing what the first bytes look like.
        found: &'static str,
        /// What the owner can do.
        advice: &'static str,
    },
    /// The text is not valid UTF-8.
    #[error("not UTF-8 text (the first invalid byte is at offset {offset}); save it with the encoding UTF-8")]
    NotUtf8 {
        /// In bytes from the start of the file, starting at 0.
        offset: usize,
    },
    /// The text starts with the byte order mark of UTF-16, which some Windows editors write.
    #[error("this is UTF-16 text; save it with the encoding UTF-8")]
    Utf16,
    /// The JSON has a syntax error.
    #[error("not valid JSON at line {line}, column {column}: {detail}")]
    InvalidJson {
        /// Starting at 1.
        line: usize,
        /// Starting at 1.
        column: usize,
        /// The parser's message without the position.
        detail: String,
    },
    /// The JSON is valid, but a field has the wrong type.
    #[error("does not follow the JSON Resume schema at line {line}, column {column}: {detail}")]
    JsonShape {
        /// Starting at 1.
        line: usize,
        /// Starting at 1.
        column: usize,
        /// The parser's message without the position.
        detail: String,
    },
    /// The JSON has neither `basics` nor any section of JSON Resume.
    #[error(
        "this JSON is not a JSON Resume: it has neither `basics` nor a section such as `work`, `education` \
         or `skills`; see https://jsonresume.org/schema"
    )]
    NotJsonResume,
    /// The PDF cannot be opened without a password.
    #[error("the PDF is protected by a password; save a copy without one")]
    Encrypted,
    /// The PDF has pages but no text, for example because it is a scan.
    #[error(
        "the PDF has no text, so it is probably a scan; export it again from the program it was written in"
    )]
    NoTextInPdf,
    /// The structure of the document is broken.
    #[error(
        "the {format} file is damaged ({detail}); export it again, or give the resume as Markdown or plain text"
    )]
    Damaged {
        /// `PDF` or `DOCX`.
        format: &'static str,
        /// What is broken.
        detail: String,
    },
    /// The document decompresses to more than a resume can need.
    #[error(
        "the {format} file decompresses to more than {limit_mib} MiB; save a copy without pictures and attachments"
    )]
    UnpacksTooLarge {
        /// `PDF` or `DOCX`.
        format: &'static str,
        /// In MiB.
        limit_mib: u64,
    },
    /// Reading the document did not finish in time.
    #[error(
        "reading the {format} file was stopped after {seconds} seconds; export it again, or give the resume as Markdown"
    )]
    TooSlow {
        /// Always `PDF`; the other formats are read in linear time.
        format: &'static str,
        /// The time limit.
        seconds: u64,
    },
    /// The library that reads the format panicked.
    #[error(
        "the {format} file contains something that cannot be read ({detail}); export it again, or give the resume as Markdown"
    )]
    Unparsable {
        /// For example `PDF`.
        format: &'static str,
        /// The first line of the panic message.
        detail: String,
    },
}
