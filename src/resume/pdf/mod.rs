//! Reads PDF: extracts positioned glyphs, arranges them into lines, and finds sections in the
//! lines.
//!
//! ```text
//! bytes ─► decompression_limit ─► text_operators (one page each) ─► glyphs ─► lines ─► sections
//! ```
//!
//! pdf-extract decodes fonts and encodings. It also panics on unknown pictures, colour spaces and
//! forms, follows recursive forms without end, and ignores two operators that show text. Therefore
//! it receives a copy of each page that contains only text.

mod decompression_limit;
mod glyph_widths;
mod glyphs;
mod lines;
mod sections;
mod text_operators;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pdf_extract::encryption::DecryptionError;
use pdf_extract::{Document, Error, Object};

use super::document_builder::DocumentBuilder;
use super::{ResumeError, panic_message};
use lines::Line;

/// How long reading may take. A real resume takes about 10 ms.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Twice the usual size, because pdf-extract recurses as deep as the input is nested, and frames of
/// debug builds are large.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Further pages are ignored. Resumes have one to five pages, academic ones up to fifty.
const MAX_PAGES: usize = 200;

/// Parses the PDF on a thread of its own, to limit the time and to have a larger stack.
pub(super) fn parse(bytes: &[u8]) -> Result<DocumentBuilder, ResumeError> {
    decompression_limit::check(bytes)?;
    let bytes = bytes.to_vec();
    let (sender, receiver) = channel();
    // After a timeout the thread keeps running, because a thread cannot be stopped from outside.
    // The error ends the process soon.
    std::thread::Builder::new()
        .name("resume-pdf".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let parsed = catch_unwind(AssertUnwindSafe(|| parse_pages(&bytes)));
            let parsed = parsed.unwrap_or_else(|panic| {
                Err(ResumeError::Unparsable { format: "PDF", detail: panic_message(panic.as_ref()) })
            });
            // After a timeout the receiver is gone.
            let _ = sender.send(parsed);
        })
        .map_err(ResumeError::Unreadable)?;
    match receiver.recv_timeout(TIMEOUT) {
        Ok(parsed) => parsed,
        Err(RecvTimeoutError::Timeout) => {
            Err(ResumeError::TooSlow { format: "PDF", seconds: TIMEOUT.as_secs() })
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(ResumeError::Unparsable { format: "PDF", detail: "the reader ended early".to_owned() })
        }
    }
}

fn parse_pages(bytes: &[u8]) -> Result<DocumentBuilder, ResumeError> {
    let mut document = Document::load_mem(bytes).map_err(|error| from_pdf_error(&error))?;
    if document.is_encrypted() {
        // A PDF that only restricts printing or copying has an empty password.
        document.decrypt("").map_err(|error| from_pdf_error(&error))?;
    }
    glyph_widths::normalize(&mut document);
    discard_images(&mut document);
    let page_ids: Vec<_> = document.get_pages().into_values().collect();
    if page_ids.is_empty() {
        return Err(damaged("it has no pages"));
    }
    let mut pages: Vec<Vec<Line>> = Vec::new();
    for page_id in page_ids.into_iter().take(MAX_PAGES) {
        let text_page =
            text_operators::extract_page(&document, page_id).map_err(|error| from_pdf_error(&error))?;
        let glyphs = glyphs::read(&text_page).map_err(|error| damaged(&error.to_string()))?;
        pages.push(lines::arrange(glyphs));
    }
    if pages.iter().flatten().all(|line| line.text.trim().is_empty()) {
        return Err(ResumeError::NoTextInPdf);
    }
    Ok(sections::build_document(pages))
}

/// Removes the data of images, so that it is not copied with every page.
fn discard_images(document: &mut Document) {
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object
            && stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|kind| kind == b"Image")
        {
            stream.content = Vec::new();
        }
    }
}

fn damaged(detail: &str) -> ResumeError {
    ResumeError::Damaged { format: "PDF", detail: detail.to_owned() }
}

fn from_pdf_error(error: &Error) -> ResumeError {
    match error {
        Error::InvalidPassword | Error::Decryption(DecryptionError::IncorrectPassword) => {
            ResumeError::Encrypted
        }
        other => damaged(&other.to_string()),
    }
}
