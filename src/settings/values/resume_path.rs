//! The path of the resume.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// Parses the path of a readable, non-empty, regular file.
pub(in crate::settings) fn parse(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let metadata = fs::metadata(&path).map_err(|error| read_problem(&error))?;
    if metadata.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    // Checked before opening the file, because opening a pipe would wait for a writer.
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.len() == 0 {
        return Err("is an empty file".to_owned());
    }
    File::open(&path).map_err(|error| read_problem(&error))?;
    Ok(path)
}

fn read_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "is not readable by this process".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
