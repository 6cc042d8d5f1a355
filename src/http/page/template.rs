//! Renders the chat page from its template.

use std::fmt::Write as _;

use super::escape::html;
use super::languages::Locale;
use super::{Subject, head};
use crate::http::content::assets;
use crate::settings::PublicUrl;

const TEMPLATE: &str = include_str!("../../../assets/page/chat.html");

/// Renders the page. `language` is the setting that the scripts of the page follow.
pub(super) fn render(
    locale: &Locale,
    language: &str,
    public_url: Option<&PublicUrl>,
    subject: &Subject<'_>,
) -> String {
    let title = locale.text("page.title", subject.name);
    let description = locale.text("page.description", subject.name);
    fill(TEMPLATE, |name| match name {
        "assets" => format!("assets/{}", assets::REVISION),
        "lang" => html(locale.tag),
        "dir" => locale.direction().to_owned(),
        "language" => html(language),
        "title" => html(&title),
        "description" => html(&description),
        "head" => head::lines(&title, &description, public_url, subject),
        "name" => html(subject.name),
        "no_script" => html(&locale.text("page.no_script", subject.name)),
        "contacts" => contacts(locale, subject),
        _ => String::new(),
    })
}

/// Replaces each `{{name}}`. Inserted text is not searched again.
fn fill(template: &str, value_of: impl Fn(&str) -> String) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or(("", piece));
        page.push_str(&value_of(name));
        page.push_str(rest);
    }
    page
}

/// Returns the paragraphs that say how the person can be reached; empty if the resume does not.
fn contacts(locale: &Locale, subject: &Subject<'_>) -> String {
    let mail = subject
        .contacts
        .mail
        .iter()
        .map(|address| (format!("mailto:{}", address.replace('%', "%25")), address.as_str()));
    let links = subject.contacts.links.iter().map(|link| (link.clone(), link.as_str()));
    let mut items = String::new();
    for (target, text) in mail.chain(links) {
        let _ = write!(items, "<li><a href=\"{}\">{}</a></li>", html(&target), html(text));
    }
    if items.is_empty() {
        return items;
    }
    format!("<p>{}</p><ul>{items}</ul>", html(&locale.text("page.contact", subject.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::page::languages::Choice;
    use crate::resume::links::Contacts;

    #[test]
    fn inserted_text_is_not_a_template() {
        let filled = fill("<{{a}}|{{b}}|{{unknown}}>", |name| match name {
            "a" => "{{b}}".to_owned(),
            "b" => "x".to_owned(),
            _ => String::new(),
        });
        assert_eq!(filled, "<{{b}}|x|>");
    }

    #[test]
    fn name_and_links_of_the_resume_cannot_become_markup() {
        let contacts = Contacts {
            mail: Some("a%b@c.example".to_owned()),
            links: vec!["https://x.example/\"><script>alert(1)</script>".to_owned()],
        };
        let subject = Subject { name: "</title><script>alert('1')</script> {{assets}}", contacts: &contacts };
        let choice = Choice::new(None);
        let locale = choice.locales().first().unwrap();
        let page = render(locale, "auto", None, &subject);
        assert!(!page.contains("<script>alert") && !page.contains("\"><script"), "{page}");
        assert!(
            page.contains("Ask about &lt;/title&gt;") && page.contains("mailto:a%25b@c.example"),
            "{page}"
        );
        assert!(page.contains("&lt;/script&gt; {{assets}}"), "{page}");
    }
}
