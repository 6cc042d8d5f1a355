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

#[test]
#[ignore = "the pages describe the final layout of the source tree"]
fn every_path_and_constant_in_the_pages_exists() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let (mut paths, mut constants) = (0, 0);
    let mut missing = Vec::new();
    for page in pages().iter().filter(|page| page.path != Path::new("CHANGELOG.md")) {
        for span in code_spans(&page.prose()) {
            let is_path = ["src/", "tests/", "benches/"].iter().any(|folder| span.starts_with(folder));
            if is_path && !span.contains(char::is_whitespace) {
                paths += 1;
                if !root().join(&span).exists() {
                    missing.push(format!("{}: {span}", page.path.display()));
                }
            }
            let Some((module, constant)) = span.rsplit_once("::") else { continue };
            let module = module.rsplit("::").next().unwrap_or(module);
            let is_constant = constant.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
            if is_constant && constant.len() > 1 {
                constants += 1;
                if !declares(&files, module, constant) {
                    missing.push(format!("{}: {span}", page.path.display()));
                }
            }
        }
    }
    assert!(paths > 20 && constants > 40, "found {paths} paths and {constants} constants");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
