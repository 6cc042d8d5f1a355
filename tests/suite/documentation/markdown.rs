//! Reads the Markdown pages of the repository: code blocks, prose lines, headings.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file.
pub(super) struct Page {
    /// Relative to the root of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A fenced code block.
pub(super) struct CodeBlock {
    /// The text after the opening fence, such as `console`.
    pub(super) language: String,
    pub(super) lines: Vec<String>,
}

/// The root of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages: the Markdown files in the root, in `docs`, and in its sub-folders.
pub(super) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    add_pages(root(), false, &mut pages);
    add_pages(&root().join("docs"), true, &mut pages);
    assert!(pages.len() > 15, "only {} pages were found", pages.len());
    pages
}

fn add_pages(folder: &Path, recursive: bool, pages: &mut Vec<Page>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && recursive {
            add_pages(&path, recursive, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            pages.push(Page { path: path.strip_prefix(root()).unwrap().to_owned(), text });
        }
    }
}

/// Reads one page by its path in the repository.
pub(super) fn page(path: &str) -> Page {
    pages().into_iter().find(|page| page.path == Path::new(path)).unwrap()
}

impl Page {
    /// The lines outside of code blocks.
    pub(super) fn prose(&self) -> Vec<&str> {
        let mut in_code = false;
        let mut lines = Vec::new();
        for line in self.text.lines() {
            let is_fence = line.trim_start().starts_with("```");
            if !in_code && !is_fence {
                lines.push(line);
            }
            in_code ^= is_fence;
        }
        assert!(!in_code, "{} ends inside a code block", self.path.display());
        lines
    }

    /// The code blocks in a language, in order.
    pub(super) fn code_blocks(&self, language: &str) -> Vec<CodeBlock> {
        let mut blocks = Vec::new();
        let mut open: Option<CodeBlock> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(info), None) => {
                    open = Some(CodeBlock { language: info.to_owned(), lines: Vec::new() });
                }
                (None, Some(mut block)) => {
                    block.lines.push(line.to_owned());
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        blocks.retain(|block| block.language == language);
        blocks
    }

    /// The anchors of the headings, as GitHub generates them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for line in self.prose() {
            let title = line.trim_start_matches('#');
            if title.len() == line.len() || !title.starts_with(' ') {
                continue;
            }
            let anchor = slug(title.trim());
            let earlier = anchors.iter().filter(|other| without_number(other) == anchor).count();
            anchors.push(if earlier == 0 { anchor } else { format!("{anchor}-{earlier}") });
        }
        anchors
    }
}

/// Lower case, punctuation removed, spaces replaced by hyphens.
fn slug(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn without_number(anchor: &str) -> &str {
    match anchor.rsplit_once('-') {
        Some((rest, number)) if number.parse::<u32>().is_ok() => rest,
        _ => anchor,
    }
}

#[test]
fn anchors_follow_the_rules_of_github() {
    let text = "# A `code` title: (x)\n## Same\n## Same\n```sh\n# no heading\n```\n#no heading\n";
    let page = Page { path: PathBuf::new(), text: text.to_owned() };
    assert_eq!(page.anchors(), ["a-code-title-x", "same", "same-1"]);
}
