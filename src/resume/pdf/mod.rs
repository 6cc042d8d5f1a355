//! Reads PDF: its text operations become positioned glyphs, these become lines, and these become sections.
//!
//! ```text
//! bytes ─► guard (what it unpacks to) ─► flatten (text operations only) ─► glyphs ─► lines ─► sections ─► outline
//! ```
//!
//! The library that knows fonts and encodings panics on pictures, colour spaces and forms it does not know, recurses through
//! forms without end, and skips two operators that show text. So it is given a copy of each page with nothing but text on it.

mod decompression_limit;
mod glyph_widths;
mod glyphs;
mod lines;
mod sections;
mod text_operators;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pdf_extract::{Document, Error, Object, encryption::DecryptionError};

use super::document_builder::Outline;
use super::{ResumeError, panic_message};
use lines::Line;

/// A real resume takes some 10 ms. What takes this long was made to, and start-up must end.
const DEADLINE: Duration = Duration::from_secs(20);

/// The library recurses with the nesting of what it reads; this is twice what threads have by default, for debug builds.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Resumes have one to five pages, academic ones up to fifty.
const MAX_PAGES: usize = 200;

pub(super) fn parse(bytes: &[u8]) -> Result<Outline, ResumeError> {
    decompression_limit::check(bytes)?;
    let owned = bytes.to_vec();
    let (sender, receiver) = channel();
    // A thread cannot be stopped from outside: past the deadline it is left behind, and the process is about to exit anyway.
    std::thread::Builder::new()
        .name("resume-pdf".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let read = catch_unwind(AssertUnwindSafe(|| read(&owned)));
            let read = read.unwrap_or_else(|panic| {
                Err(ResumeError::Unparsable { format: "PDF", detail: panic_message(panic.as_ref()) })
            });
            // Nobody listens any more after the deadline.
            let _ = sender.send(read);
        })
        .map_err(ResumeError::Unreadable)?;
    match receiver.recv_timeout(DEADLINE) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => {
            Err(ResumeError::TooSlow { format: "PDF", seconds: DEADLINE.as_secs() })
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(ResumeError::Unparsable { format: "PDF", detail: "the reader ended early".to_owned() })
        }
    }
}

fn read(bytes: &[u8]) -> Result<Outline, ResumeError> {
    let mut document = Document::load_mem(bytes).map_err(|error| failed(&error))?;
    if document.is_encrypted() {
        // A PDF that only restricts printing or copying opens with the empty password, as viewers do.
        document.decrypt("").map_err(|error| failed(&error))?;
    }
    glyph_widths::normalise(&mut document);
    // Pages are copied one by one below; pictures need not be copied with them.
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object
            && stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|kind| kind == b"Image")
        {
            stream.content = Vec::new();
        }
    }
    let pages: Vec<_> = document.get_pages().into_values().collect();
    if pages.is_empty() {
        return Err(damaged("it has no pages"));
    }
    let mut all: Vec<Vec<Line>> = Vec::new();
    for page in pages.into_iter().take(MAX_PAGES) {
        let flat = text_operators::flatten(&document, page).map_err(|error| failed(&error))?;
        let glyphs = glyphs::read(&flat).map_err(|error| damaged(&error.to_string()))?;
        all.push(lines::lines(glyphs));
    }
    if all.iter().flatten().all(|line| line.text.trim().is_empty()) {
        return Err(ResumeError::NoTextInPdf);
    }
    Ok(sections::outline(all))
}

fn damaged(detail: &str) -> ResumeError {
    ResumeError::Damaged { format: "PDF", detail: detail.to_owned() }
}

fn failed(error: &Error) -> ResumeError {
    match error {
        Error::InvalidPassword | Error::Decryption(DecryptionError::IncorrectPassword) => {
            ResumeError::Encrypted
        }
        other => damaged(&other.to_string()),
    }
}
