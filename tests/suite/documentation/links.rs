//! Links between the pages: the file exists, and so does the heading of the anchor.

use std::path::{Component, Path, PathBuf};

use super::markdown::{Page, pages, root};

/// The targets of the links and images in a line.
fn targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// Resolves `..` in a relative path.
fn normalized(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(parts.pop(), "{} leaves the repository", path.display()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

/// Returns why a link is broken.
fn problem(page: &Page, target: &str, pages: &[Page]) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path =
        if file.is_empty() { page.path.clone() } else { normalized(&page.path.parent().unwrap().join(file)) };
    let from = page.path.display();
    if !root().join(&path).exists() {
        return Some(format!("{from}: {target}: no such file"));
    }
    let linked = pages.iter().find(|page| page.path == path);
    match linked {
        _ if anchor.is_empty() => None,
        Some(linked) if linked.anchors().iter().any(|each| each == anchor) => None,
        _ => Some(format!("{from}: {target}: no such heading")),
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let pages = pages();
    let mut count = 0;
    let mut problems = Vec::new();
    for page in &pages {
        let prose = page.prose().join("\n");
        for target in targets(&prose) {
            count += 1;
            problems.extend(problem(page, target, &pages));
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn broken_links_are_found() {
    let pages = pages();
    let page = pages.iter().find(|page| page.path == Path::new("docs/operations.md")).unwrap();
    assert_eq!(problem(page, "../README.md#exit-codes", &pages), None);
    for broken in ["../README.md#exit-code", "README.md", "#no-such-heading", "decisions/0000-none.md"] {
        assert!(problem(page, broken, &pages).is_some(), "{broken} was not found");
    }
    assert_eq!(targets("[a](b.md) and ![c](d#e)"), ["b.md", "d#e"]);
}

#[test]
fn the_index_lists_every_decision() {
    let pages = pages();
    let index = pages.iter().find(|page| page.path == Path::new("docs/decisions/README.md")).unwrap();
    for page in pages.iter().filter(|page| page.path.starts_with("docs/decisions") && page.path != index.path)
    {
        let name = page.path.file_name().unwrap().to_str().unwrap();
        let title = page.text.lines().next().unwrap();
        let (number, title) = title.strip_prefix("# ").and_then(|title| title.split_once(": ")).unwrap();
        let row = format!("| [{number}]({name}) | {title} |");
        assert!(index.text.contains(&row), "docs/decisions/README.md should contain:\n{row}");
        let headings = ["## Context", "## Decision", "## Consequences", "## What would change our mind"];
        let sections: Vec<&str> = page.prose().into_iter().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, headings, "{name}");
    }
}
