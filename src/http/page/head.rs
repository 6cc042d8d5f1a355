//! What link previews and search engines read: canonical link, Open Graph, JSON-LD.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Subject;
use super::escape::{html, json_in_html};
use crate::http::content::assets;
use crate::settings::PublicUrl;

/// The image of link previews, below the directory of the revision.
const PREVIEW_IMAGE: &str = "icons/icon-512.png";

/// Returns the lines of `<head>` that depend on the person and the public URL.
pub(super) fn lines(
    title: &str,
    description: &str,
    public_url: Option<&PublicUrl>,
    subject: &Subject<'_>,
) -> String {
    let mut lines = String::new();
    let mut properties = vec![("og:type", "profile"), ("og:title", title), ("og:description", description)];
    let image = public_url.map(|url| format!("{url}assets/{}/{PREVIEW_IMAGE}", assets::REVISION));
    if let Some(url) = public_url {
        let _ = writeln!(lines, "<link rel=\"canonical\" href=\"{}\">", html(url.as_str()));
        properties.push(("og:url", url.as_str()));
    }
    if let Some(image) = &image {
        properties.push(("og:image", image));
    }
    for (name, content) in properties {
        let _ = writeln!(lines, "<meta property=\"{name}\" content=\"{}\">", html(content));
    }
    let _ = writeln!(lines, "<meta name=\"twitter:card\" content=\"summary\">");
    let json = json_in_html(&profile_page(title, public_url, subject));
    let _ = write!(lines, "<script type=\"application/ld+json\">{json}</script>");
    lines
}

/// Describes the page in the vocabulary of schema.org. The mail address is left out, because it is
/// for visitors, not for the robots that collect such data.
fn profile_page(title: &str, public_url: Option<&PublicUrl>, subject: &Subject<'_>) -> Value {
    let links = &subject.contacts.links;
    let person = object([
        Some(("@type", json!("Person"))),
        Some(("name", json!(subject.name))),
        (!links.is_empty()).then(|| ("sameAs", json!(links))),
    ]);
    object([
        Some(("@context", json!("https://schema.org"))),
        Some(("@type", json!("ProfilePage"))),
        Some(("name", json!(title))),
        public_url.map(|url| ("url", json!(url.as_str()))),
        Some(("mainEntity", person)),
    ])
}

/// Returns an object with the fields that are present.
fn object<const N: usize>(fields: [Option<(&str, Value)>; N]) -> Value {
    fields.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
}
