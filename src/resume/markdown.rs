//! Reads Markdown: headings, paragraphs, lists and tables, and links with their targets.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::document_builder::DocumentBuilder;
use super::headings::is_section_title;

/// Separates the cells of a table row, as in every format.
const CELL_SEPARATOR: &str = " | ";

pub(super) fn parse(text: &str) -> DocumentBuilder {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut reader = MarkdownReader::default();
    for event in Parser::new_ext(text, options) {
        reader.handle_event(event);
    }
    reader.builder
}

#[derive(Default)]
struct MarkdownReader {
    builder: DocumentBuilder,
    /// The text of the current block.
    block: String,
    /// Set at the first heading, because only that one can be the person's name.
    has_seen_heading: bool,
    item_depth: usize,
    /// Set inside front matter, which is not part of the text.
    in_front_matter: bool,
    open_links: Vec<OpenLink>,
    /// True while all text of the current block is bold.
    is_all_bold: bool,
    bold_depth: usize,
}

struct OpenLink {
    url: String,
    /// The offset in `block` at which the text of the link starts.
    text_start: usize,
}

impl MarkdownReader {
    fn handle_event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start_tag(tag),
            Event::End(tag) => self.end_tag(tag),
            Event::Text(text) | Event::Code(text) => self.push_text(&text),
            Event::Html(html) | Event::InlineHtml(html) => {
                let text = strip_tags(&html);
                self.push_text(&text);
            }
            Event::SoftBreak => self.block.push(' '),
            Event::HardBreak => self.block.push('\n'),
            Event::TaskListMarker(is_done) => self.push_text(if is_done { "[x] " } else { "[ ] " }),
            Event::Rule | Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn push_text(&mut self, text: &str) {
        if !self.in_front_matter {
            self.is_all_bold &= self.bold_depth > 0 || text.trim().is_empty();
            self.block.push_str(text);
        }
    }

    fn start_tag(&mut self, tag: Tag<'_>) {
        match tag {
            // The text of an item comes before the list nested in it.
            Tag::List(_) if self.item_depth > 0 => self.flush(),
            Tag::Item => self.item_depth += 1,
            Tag::Paragraph | Tag::Heading { .. } => self.is_all_bold = true,
            Tag::MetadataBlock(_) => self.in_front_matter = true,
            Tag::Link { dest_url, .. } => {
                self.open_links.push(OpenLink { url: dest_url.into_string(), text_start: self.block.len() })
            }
            Tag::Strong => self.bold_depth += 1,
            _ => {}
        }
    }

    fn end_tag(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::Paragraph
                if self.item_depth == 0 && self.is_all_bold && is_section_title(&self.block) =>
            {
                // Some resumes use bold paragraphs as headings. They get the level that sections
                // below a title usually have.
                let title = std::mem::take(&mut self.block);
                self.builder.push_heading(2, &title);
            }
            TagEnd::Paragraph
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::TableHead
            | TagEnd::TableRow => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.item_depth = self.item_depth.saturating_sub(1);
            }
            TagEnd::TableCell => self.block.push_str(CELL_SEPARATOR),
            TagEnd::MetadataBlock(_) => self.in_front_matter = false,
            TagEnd::Link => self.end_link(),
            TagEnd::Strong => self.bold_depth = self.bold_depth.saturating_sub(1),
            _ => {}
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let title = std::mem::take(&mut self.block);
        let is_first = !std::mem::replace(&mut self.has_seen_heading, true);
        if is_first && level == HeadingLevel::H1 && !is_section_title(&title) {
            self.builder.set_name(&title);
        } else {
            self.builder.push_heading(level_number(level), &title);
        }
    }

    /// Appends the target of the link, unless the text already shows it.
    fn end_link(&mut self) {
        let Some(OpenLink { url, text_start }) = self.open_links.pop() else { return };
        let text = self.block.get(text_start..).unwrap_or_default().trim();
        let bare_url = url.trim_start_matches("mailto:").trim_start_matches("tel:");
        let bare_url =
            bare_url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if !url.is_empty() && !url.starts_with('#') && !text.contains(bare_url) {
            self.block.push_str(&format!(" ({url})"));
        }
    }

    /// Writes the current block to the document.
    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        let block = block.strip_suffix(CELL_SEPARATOR).unwrap_or(&block);
        if self.item_depth == 0 {
            return self.builder.push_paragraph(block);
        }
        // Hard line breaks stay within the bullet.
        let line = block.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        self.builder.push_bullet(&line);
    }
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Removes HTML tags and keeps the text between them.
fn strip_tags(html: &str) -> String {
    let mut in_tag = false;
    html.chars()
        .filter(|character| {
            let keep = !in_tag && *character != '<';
            in_tag = (in_tag || *character == '<') && *character != '>';
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<(String, u8, String)> {
        let document = parse(text).build("cv").unwrap();
        document.sections.into_iter().map(|section| (section.title, section.level, section.text)).collect()
    }

    #[test]
    fn first_heading_is_the_name_and_other_blocks_keep_their_order() {
        let text = "# Mara\n\nEngineer\n\n## Work\n\n### Halden\n\n- a\n  b\n  - c\n\n## Skills\n\n| A | B |\n|---|---|\n| x | y |\n";
        let document = parse(text).build("cv").unwrap();
        assert_eq!(document.name, "Mara");
        let expected = [
            ("About", 1, "Engineer"),
            ("Work", 1, ""),
            ("Halden", 2, "- a b\n- c"),
            ("Skills", 1, "A | B\nx | y"),
        ];
        let expected = expected.map(|(title, level, text)| (title.to_owned(), level, text.to_owned()));
        assert_eq!(sections(text), expected);
    }

    #[test]
    fn link_targets_are_appended_unless_the_text_shows_them() {
        let text = "[site](https://a.example/x) <https://b.example> [b.example](https://b.example/)";
        assert_eq!(sections(text)[0].2, "site (https://a.example/x) https://b.example b.example");
    }

    #[test]
    fn front_matter_and_tags_are_dropped_and_bold_section_titles_are_headings() {
        let text = "---\nlayout: cv\n---\n<div align=\"center\">hello</div>\n\n**Experience**\n\nAcme\n";
        assert_eq!(
            sections(text),
            [("About".into(), 1, "hello".into()), ("Experience".into(), 1, "Acme".into())]
        );
    }
}
