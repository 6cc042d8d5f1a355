//! The chat page as crawlers, link previews and visitors without JavaScript see it, with the files
//! around it.
//!
//! Everything is rendered once for each language, when the server starts.

mod escape;
mod head;
mod languages;
mod root_files;
mod template;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderName};

use self::languages::{Choice, Locale};
use super::content::representation::{ONE_DAY, REVALIDATE, Representation};
use crate::resume::links::Contacts;
use crate::settings::{HttpSettings, PageSettings, PublicUrl};

pub(super) const PAGE_MEDIA_TYPE: &str = "text/html; charset=utf-8";
pub(super) const MANIFEST_MEDIA_TYPE: &str = "application/manifest+json";
pub(super) const TEXT_MEDIA_TYPE: &str = "text/plain; charset=utf-8";

/// The Content Security Policy: only the page's own files, no inline code. The origins of
/// `ALLOWED_ORIGINS`, which may show the page in a frame, follow.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// What the page says about the person.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// The name of the person.
    pub(super) name: &'a str,
    pub(super) contacts: &'a Contacts,
}

/// The page and the files around it.
#[derive(Debug)]
pub(super) struct Pages {
    choice: Choice,
    /// One for each locale of `choice`, in the same order.
    languages: Vec<LanguagePages>,
    pub(super) robots: Representation,
}

#[derive(Debug)]
struct LanguagePages {
    page: Representation,
    manifest: Representation,
}

impl Pages {
    /// Renders the page in every language.
    pub(super) fn new(http: &HttpSettings, settings: &PageSettings, subject: &Subject<'_>) -> Self {
        let choice = Choice::new(settings.language.as_deref());
        let policy = [POLICY].into_iter().chain(http.allowed_origins.iter().map(String::as_str));
        let policy = policy.collect::<Vec<_>>().join(" ");
        let public_url = http.public_url.as_ref();
        let languages = choice.locales().iter().map(|locale| {
            let files = LanguagePages {
                page: page(locale, settings.language.as_deref(), public_url, subject, &policy),
                manifest: manifest(locale, subject),
            };
            if choice.is_automatic() { files.varying_by_language() } else { files }
        });
        let languages = languages.collect();
        let robots = root_files::robots(public_url.map_or("", PublicUrl::path_prefix));
        let robots = Representation::new(TEXT_MEDIA_TYPE, ONE_DAY, robots);
        Self { choice, languages, robots }
    }

    /// Returns the page in the best language for a request.
    pub(super) fn page(&self, request: &HttpRequest) -> &Representation {
        &self.language(request).page
    }

    /// Returns the web manifest in the best language for a request.
    pub(super) fn manifest(&self, request: &HttpRequest) -> &Representation {
        &self.language(request).manifest
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many pages as locales, and at least one")]
    fn language(&self, request: &HttpRequest) -> &LanguagePages {
        &self.languages[self.choice.index_for(request)]
    }
}

impl LanguagePages {
    fn varying_by_language(self) -> Self {
        const VARY: &str = "accept-language";
        Self { page: self.page.varying_by(VARY), manifest: self.manifest.varying_by(VARY) }
    }
}

fn page(
    locale: &Locale,
    language: Option<&str>,
    public_url: Option<&PublicUrl>,
    subject: &Subject<'_>,
    policy: &str,
) -> Representation {
    let html = template::render(locale, language.unwrap_or("auto"), public_url, subject);
    Representation::new(PAGE_MEDIA_TYPE, REVALIDATE, html)
        .with_header(CONTENT_LANGUAGE, locale.tag)
        .with_header(CONTENT_SECURITY_POLICY, policy)
        // Listed origins may show the page in a frame, also from isolated pages.
        .with_header(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin")
}

fn manifest(locale: &Locale, subject: &Subject<'_>) -> Representation {
    let manifest = root_files::manifest(locale, subject.name).to_string();
    Representation::new(MANIFEST_MEDIA_TYPE, REVALIDATE, manifest).with_header(CONTENT_LANGUAGE, locale.tag)
}
