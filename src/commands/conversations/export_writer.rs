//! Writes an export to standard output or to a file.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::super::{CliError, CliResult};

/// The destination of an export. A file is replaced only when the export is complete.
pub(super) struct ExportWriter {
    writer: BufWriter<Box<dyn Write>>,
    replacement: Option<Replacement>,
    /// Set when the reader has closed the pipe, as with `| head`. This is not an error.
    is_closed: bool,
}

/// A temporary file that replaces another one at the end.
struct Replacement {
    temporary: TempPath,
    destination: PathBuf,
}

impl ExportWriter {
    pub(super) fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), None)
    }

    /// Opens a file, or standard output if no path is given.
    pub(super) fn open(path: Option<&Path>) -> CliResult<Self> {
        let Some(path) = path else { return Ok(Self::stdout()) };
        Self::open_file(path).map_err(|error| cannot_write(path, &error))
    }

    fn open_file(path: &Path) -> io::Result<Self> {
        // Pipes and devices cannot be replaced.
        if path.exists() && !path.is_file() {
            return Ok(Self::new(Box::new(OpenOptions::new().write(true).open(path)?), None));
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let (file, temporary) = NamedTempFile::new_in(folder)?.into_parts();
        Ok(Self::new(Box::new(file), Some(Replacement { temporary, destination: path.to_owned() })))
    }

    fn new(writer: Box<dyn Write>, replacement: Option<Replacement>) -> Self {
        Self { writer: BufWriter::new(writer), replacement, is_closed: false }
    }

    /// Writes the text, or nothing if the reader has closed the pipe.
    pub(super) fn write(&mut self, text: &str) -> CliResult {
        if self.is_closed {
            return Ok(());
        }
        let result = self.writer.write_all(text.as_bytes());
        self.check(result)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Flushes the output and moves a temporary file to its destination.
    pub(super) fn finish(mut self) -> CliResult {
        if self.is_closed {
            return Ok(());
        }
        let result = self.writer.flush();
        self.check(result)?;
        match self.replacement {
            None => Ok(()),
            Some(Replacement { temporary, destination }) => {
                temporary.persist(&destination).map_err(|error| cannot_write(&destination, &error.error))
            }
        }
    }

    fn check(&mut self, result: io::Result<()>) -> CliResult {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => other.map_err(|error| CliError::failure(format!("cannot write the export: {error}"))),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    CliError::failure(format!("cannot write {}: {error}", path.display()))
}
