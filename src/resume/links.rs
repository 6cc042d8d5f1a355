//! The links and mail addresses in the text of a resume.

use std::collections::BTreeSet;

use url::Url;

use super::Document;

/// The maximum number of hosts. A resume has a few; a list of publications may have many.
const MAX_HOSTS: usize = 100;

/// The maximum number of links among the contacts.
const MAX_CONTACT_LINKS: usize = 8;

/// How the person can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contacts {
    /// The first mail address of the document.
    pub mail: Option<String>,
    /// The links of the first section that has any.
    pub links: Vec<String>,
}

/// A link or a mail address.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    Link(Url),
    Mail { address: String, host: String },
}

/// Returns the hosts of all links and mail addresses, sorted, at most a hundred.
#[must_use]
pub fn link_hosts(document: &Document) -> Vec<String> {
    let texts = document.sections.iter().flat_map(|section| [&section.title, &section.text]);
    let hosts = texts.flat_map(|text| references(text)).filter_map(|reference| match reference {
        Reference::Link(url) => url.host_str().map(str::to_owned),
        Reference::Mail { host, .. } => Some(host),
    });
    let distinct: BTreeSet<String> = hosts.collect();
    distinct.into_iter().take(MAX_HOSTS).collect()
}

/// Returns how the person can be reached.
#[must_use]
pub fn contacts(document: &Document) -> Contacts {
    let texts = || document.sections.iter().map(|section| section.text.as_str());
    let mail = texts().flat_map(references).find_map(|reference| match reference {
        Reference::Mail { address, .. } => Some(address),
        Reference::Link(_) => None,
    });
    let links_of = |text: &str| -> Vec<String> {
        let links = references(text).into_iter().filter_map(|reference| match reference {
            Reference::Link(url) => Some(url.to_string()),
            Reference::Mail { .. } => None,
        });
        let mut distinct: Vec<String> = Vec::new();
        for link in links {
            if !distinct.contains(&link) {
                distinct.push(link);
            }
        }
        distinct.truncate(MAX_CONTACT_LINKS);
        distinct
    };
    let links = texts().map(links_of).find(|links| !links.is_empty()).unwrap_or_default();
    Contacts { mail, links }
}

/// Returns the links and mail addresses of a text, in order.
fn references(text: &str) -> Vec<Reference> {
    text.split(|c: char| c.is_whitespace() || "<>()[]{}|\"',;".contains(c)).filter_map(reference).collect()
}

fn reference(word: &str) -> Option<Reference> {
    let word = word.trim_end_matches(['.', ':', '!', '?', '*', '_']);
    let scheme = word.get(..8).unwrap_or(word).to_ascii_lowercase();
    if scheme.starts_with("http://") || scheme.starts_with("https://") {
        let url = Url::parse(word).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
        return is_plain.then_some(Reference::Link(url));
    }
    if scheme.starts_with("www.") {
        return Url::parse(&format!("https://{word}")).ok().map(Reference::Link);
    }
    let address = word.strip_prefix("mailto:").unwrap_or(word);
    let (user, host) = address.split_once('@')?;
    let host = host.trim_end_matches('/').to_ascii_lowercase();
    let is_host = host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty())
        && host.chars().all(|c| c.is_alphanumeric() || ".-".contains(c));
    let is_user = !user.is_empty() && user.chars().all(|c| c.is_alphanumeric() || "._%+-".contains(c));
    (is_host && is_user).then(|| Reference::Mail { address: format!("{user}@{host}"), host })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::Section;

    fn document(texts: &[&str]) -> Document {
        let section =
            |text: &&str| Section { title: "Section".to_owned(), level: 1, text: (*text).to_owned() };
        Document { name: "Mara".to_owned(), sections: texts.iter().map(section).collect() }
    }

    #[test]
    fn hosts_of_links_and_mail_are_sorted_and_distinct() {
        let document = document(&[
            "- E-mail: mara@Lindqvist.example\n- Web: https://mara.lindqvist.example.",
            "See (HTTPS://GitHub.example/mara), http://b.example:8080/x?y=1 | www.c.example and git@host: no.",
            "https://user:secret@evil.example, ftp://d.example, a@b, https://mara.lindqvist.example/cv",
        ]);
        assert_eq!(
            link_hosts(&document),
            ["b.example", "github.example", "lindqvist.example", "mara.lindqvist.example", "www.c.example"]
        );
    }

    #[test]
    fn number_of_hosts_is_bounded() {
        let text: String = (0..300).map(|number| format!("https://h{number}.example ")).collect();
        assert_eq!(link_hosts(&document(&[&text])).len(), MAX_HOSTS);
    }

    #[test]
    fn contacts_are_the_first_mail_address_and_the_links_next_to_each_other() {
        let document = document(&[
            "Engineer",
            "- https://mara.example\n- GitHub: https://github.example/mara, https://mara.example",
            "mara@lindqvist.example, other@work.example, https://employer.example",
        ]);
        let expected = Contacts {
            mail: Some("mara@lindqvist.example".to_owned()),
            links: vec!["https://mara.example/".to_owned(), "https://github.example/mara".to_owned()],
        };
        assert_eq!(contacts(&document), expected);
        assert_eq!(contacts(&self::document(&["nothing"])), Contacts::default());
    }
}
