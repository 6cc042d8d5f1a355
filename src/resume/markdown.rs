//! Reads Markdown: headings as they are, lists and tables as lines, links with their targets.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::document_builder::Outline;
use super::headings::known;

/// Enclosed by the separators of a table's cells in every format.
const CELL: &str = " | ";

pub(super) fn parse(text: &str) -> Outline {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(text, options) {
        reader.event(event);
    }
    reader.outline
}

#[derive(Default)]
struct Reader {
    outline: Outline,
    /// The text of the block being read.
    block: String,
    /// Whether a heading was seen; only the first can be the person's name.
    past_first_heading: bool,
    items: usize,
    /// Inside front matter, which is not part of the text.
    hidden: bool,
    /// Where each open link points and where its text starts in `block`.
    links: Vec<(String, usize)>,
    /// Whether all of the block's text so far is bold.
    all_bold: bool,
    bold: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) => self.text(&text),
            Event::Html(html) | Event::InlineHtml(html) => {
                let text = without_tags(&html);
                self.text(&text);
            }
            Event::SoftBreak => self.block.push(' '),
            Event::HardBreak => self.block.push('\n'),
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }),
            Event::Rule | Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        if !self.hidden {
            self.all_bold &= self.bold > 0 || text.trim().is_empty();
            self.block.push_str(text);
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            // A list inside an item follows the item's own text.
            Tag::List(_) if self.items > 0 => self.flush(),
            Tag::Item => self.items += 1,
            Tag::Paragraph | Tag::Heading { .. } => self.all_bold = true,
            Tag::MetadataBlock(_) => self.hidden = true,
            Tag::Link { dest_url, .. } => self.links.push((dest_url.into_string(), self.block.len())),
            Tag::Strong => self.bold += 1,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph if self.items == 0 && self.all_bold && known(&self.block).is_some() => {
                // Some write headings as bold paragraphs; these stand beside the outermost real ones.
                let title = std::mem::take(&mut self.block);
                self.outline.heading(2, &title);
            }
            TagEnd::Paragraph
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::TableHead
            | TagEnd::TableRow => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.items = self.items.saturating_sub(1);
            }
            TagEnd::TableCell => self.block.push_str(CELL),
            TagEnd::MetadataBlock(_) => self.hidden = false,
            TagEnd::Link => self.close_link(),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            _ => {}
        }
    }

    fn heading(&mut self, level: HeadingLevel) {
        let title = std::mem::take(&mut self.block);
        let first = !std::mem::replace(&mut self.past_first_heading, true);
        if first && level == HeadingLevel::H1 && known(&title).is_none() {
            self.outline.name(&title);
        } else {
            self.outline.heading(depth(level), &title);
        }
    }

    /// Appends the target unless the text already shows it.
    fn close_link(&mut self) {
        let Some((url, start)) = self.links.pop() else { return };
        let shown = self.block.get(start..).unwrap_or_default().trim();
        let bare = url.trim_start_matches("mailto:").trim_start_matches("tel:");
        let bare = bare.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if !url.is_empty() && !url.starts_with('#') && !shown.contains(bare) {
            self.block.push_str(&format!(" ({url})"));
        }
    }

    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        let block = block.strip_suffix(CELL).unwrap_or(&block);
        if self.items == 0 {
            return self.outline.paragraph(block);
        }
        // An item's second paragraph and its hard line breaks stay within the bullet.
        let line = block.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        self.outline.bullet(&line);
    }
}

fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// HTML is allowed in Markdown; only its text is of use.
fn without_tags(html: &str) -> String {
    let mut inside = false;
    html.chars()
        .filter(|character| {
            let keep = !inside && *character != '<';
            inside = (inside || *character == '<') && *character != '>';
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<(String, u8, String)> {
        let document = parse(text).finish("cv").unwrap();
        document.sections.into_iter().map(|s| (s.title, s.level, s.text)).collect()
    }

    #[test]
    fn the_first_title_is_the_name_and_the_rest_keeps_its_order() {
        let text = "# Mara\n\nEngineer\n\n## Work\n\n### Halden\n\n- a\n  b\n  - c\n\n## Skills\n\n| A | B |\n|---|---|\n| x | y |\n";
        let document = parse(text).finish("cv").unwrap();
        assert_eq!(document.name, "Mara");
        let wanted = [
            ("About", 1, "Engineer"),
            ("Work", 1, ""),
            ("Halden", 2, "- a b\n- c"),
            ("Skills", 1, "A | B\nx | y"),
        ];
        assert_eq!(sections(text), wanted.map(|(t, l, x)| (t.to_owned(), l, x.to_owned())));
    }

    #[test]
    fn links_show_where_they_go_once() {
        let text = "[site](https://a.example/x) <https://b.example> [b.example](https://b.example/)";
        assert_eq!(sections(text)[0].2, "site (https://a.example/x) https://b.example b.example");
    }

    #[test]
    fn front_matter_and_tags_are_not_text_and_bold_lines_can_be_headings() {
        let text = "---\nlayout: cv\n---\n<div align=\"center\">hello</div>\n\n**Experience**\n\nAcme\n";
        assert_eq!(
            sections(text),
            [("About".into(), 1, "hello".into()), ("Experience".into(), 1, "Acme".into())]
        );
    }
}
