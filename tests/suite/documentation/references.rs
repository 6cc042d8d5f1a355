//! Names from the source tree in the pages: files and constants exist.

use std::fs;
use std::path::{Path, PathBuf};

use super::markdown::{pages, root};

/// The texts between backticks in a page.
fn code_spans(prose: &[&str]) -> Vec<String> {
    let text = prose.join("\n");
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a module of this name declares the constant.
fn declares(files: &[PathBuf], module: &str, constant: &str) -> bool {
    let is_module =
        |path: &Path| path.ends_with(format!("{module}.rs")) || path.ends_with(format!("{module}/mod.rs"));
    let declarations = [format!("const {constant}:"), format!("static {constant}:")];
    files.iter().filter(|path| is_module(path)).any(|path| {
        let text = fs::read_to_string(path).unwrap();
        declarations.iter().any(|declaration| text.contains(declaration))
    })
}

/// The paths in a page that begin with one of the folders.
fn paths_in(prose: &[&str], folders: &[&str]) -> Vec<String> {
    let spans = code_spans(prose).into_iter();
    let is_path = |span: &String| folders.iter().any(|folder| span.starts_with(folder));
    spans.filter(is_path).filter(|span| !span.contains(char::is_whitespace)).collect()
}

/// The paths in all pages that begin with one of the folders, and do not exist.
fn missing_paths(folders: &[&str]) -> Vec<String> {
    let mut count = 0;
    let mut missing = Vec::new();
    // The change log names files of earlier versions.
    for page in pages().iter().filter(|page| page.path != Path::new("CHANGELOG.md")) {
        for path in paths_in(&page.prose(), folders) {
            count += 1;
            if !root().join(&path).exists() {
                missing.push(format!("{}: {path}", page.path.display()));
            }
        }
    }
    assert!(count > 5, "only {count} paths were found");
    missing
}

#[test]
fn every_source_file_in_the_pages_exists() {
    let missing = missing_paths(&["src/", "benches/"]);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_test_file_in_the_pages_exists() {
    let missing = missing_paths(&["tests/"]);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_constant_in_the_pages_exists() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut count = 0;
    let mut missing = Vec::new();
    for page in pages() {
        for span in code_spans(&page.prose()) {
            let Some((module, constant)) = span.rsplit_once("::") else { continue };
            let module = module.rsplit("::").next().unwrap_or(module);
            let is_constant = constant.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
            if is_constant && constant.len() > 1 {
                count += 1;
                if !declares(&files, module, constant) {
                    missing.push(format!("{}: {span}", page.path.display()));
                }
            }
        }
    }
    assert!(count > 40, "only {count} constants were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
