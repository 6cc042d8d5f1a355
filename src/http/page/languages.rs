//! The languages of the texts that the server writes, and the best one for a request.

use std::cmp::Reverse;

use actix_web::HttpRequest;
use actix_web::http::header::{AcceptLanguage, Header, Preference, Quality};
use serde_json::{Map, Value};

use crate::http::content::assets;

/// The language of texts that a locale lacks, and of visitors whose languages are not available.
const DEFAULT: &str = "en";

/// Languages that are written from right to left.
const RIGHT_TO_LEFT: [&str; 9] = ["ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];

/// The texts of one language.
#[derive(Clone, Debug)]
pub(super) struct Locale {
    /// The language tag.
    pub(super) tag: &'static str,
    texts: Map<String, Value>,
    fallback: Map<String, Value>,
}

impl Locale {
    fn new(tag: &'static str, json: &str) -> Self {
        let parse = |json: &str| serde_json::from_str(json).unwrap_or_default();
        let fallback = assets::LOCALES.iter().find(|(tag, _)| *tag == DEFAULT);
        Self { tag, texts: parse(json), fallback: fallback.map(|(_, json)| parse(json)).unwrap_or_default() }
    }

    /// Returns a text with the name of the person in it.
    pub(super) fn text(&self, key: &str, name: &str) -> String {
        let text = self.texts.get(key).or_else(|| self.fallback.get(key)).and_then(Value::as_str);
        text.unwrap_or_default().replace("{name}", name)
    }

    /// Returns the direction of the script, as `dir` names it.
    pub(super) fn direction(&self) -> &'static str {
        if RIGHT_TO_LEFT.contains(&primary(self.tag)) { "rtl" } else { "ltr" }
    }
}

/// The locales to choose from.
#[derive(Debug)]
pub(super) struct Choice {
    /// Never empty; the first one is for visitors whose languages are not available.
    locales: Vec<Locale>,
}

impl Choice {
    /// Offers all locales, or only the one that is nearest to `language`.
    pub(super) fn new(language: Option<&str>) -> Self {
        let mut locales: Vec<Locale> =
            assets::LOCALES.iter().map(|(tag, json)| Locale::new(tag, json)).collect();
        locales.sort_by_key(|locale| locale.tag != DEFAULT);
        if locales.is_empty() {
            locales.push(Locale::new(DEFAULT, ""));
        }
        if let Some(language) = language {
            let nearest = nearest(&locales, language).unwrap_or_default();
            locales = locales.into_iter().skip(nearest).take(1).collect();
        }
        Self { locales }
    }

    pub(super) fn locales(&self) -> &[Locale] {
        &self.locales
    }

    /// Returns whether the visitor's browser decides.
    pub(super) fn is_automatic(&self) -> bool {
        self.locales.len() > 1
    }

    /// Returns the index of the best locale for a request.
    pub(super) fn index_for(&self, request: &HttpRequest) -> usize {
        if !self.is_automatic() {
            return 0;
        }
        let accepted = AcceptLanguage::parse(request).map(|accepted| accepted.0).unwrap_or_default();
        let mut wanted: Vec<_> =
            accepted.into_iter().filter(|wanted| wanted.quality > Quality::ZERO).collect();
        wanted.sort_by_key(|wanted| Reverse(wanted.quality));
        let available = wanted.into_iter().find_map(|wanted| match wanted.item {
            Preference::Any => Some(0),
            Preference::Specific(tag) => nearest(&self.locales, tag.as_str()),
        });
        available.unwrap_or_default()
    }
}

/// Returns the index of the locale of a language tag: the same tag, or the same language.
fn nearest(locales: &[Locale], wanted: &str) -> Option<usize> {
    let same_tag = locales.iter().position(|locale| locale.tag.eq_ignore_ascii_case(wanted));
    let is_same_language = |locale: &Locale| primary(locale.tag).eq_ignore_ascii_case(primary(wanted));
    same_tag.or_else(|| locales.iter().position(is_same_language))
}

/// Returns the language of a tag without script, region and variants.
fn primary(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::ACCEPT_LANGUAGE;
    use actix_web::test::TestRequest;

    use super::*;

    fn choice(tags: &[&'static str]) -> Choice {
        Choice { locales: tags.iter().map(|tag| Locale::new(tag, "{}")).collect() }
    }

    #[test]
    fn browser_decides_by_weight_then_by_order() {
        let choice = choice(&["en", "ar", "de", "pt"]);
        for (accepted, expected) in [
            ("de", "de"),
            ("de-AT, en;q=0.9", "de"),
            ("sv, pt-BR;q=0.8, de;q=0.9", "de"),
            ("sv, fi", "en"),
            ("*", "en"),
            ("de;q=0, pt;q=0.1", "pt"),
            ("", "en"),
            (";;;,,", "en"),
            ("AR-eg", "ar"),
        ] {
            let request = TestRequest::default().insert_header((ACCEPT_LANGUAGE, accepted)).to_http_request();
            assert_eq!(choice.locales[choice.index_for(&request)].tag, expected, "{accepted}");
        }
        assert_eq!(choice.locales[choice.index_for(&TestRequest::default().to_http_request())].tag, "en");
    }

    #[test]
    fn english_has_every_text_and_every_locale_is_an_object() {
        let keys = ["page.title", "page.description", "page.no_script", "page.contact"];
        let choice = Choice::new(None);
        assert_eq!(choice.locales[0].tag, DEFAULT);
        for locale in choice.locales() {
            assert!(!locale.texts.is_empty(), "{} cannot be parsed", locale.tag);
        }
        for key in keys {
            assert!(!choice.locales[0].text(key, "Mara").is_empty(), "{key}");
        }
        assert_eq!(choice.locales[0].text("page.title", "Mara"), "Ask about Mara");
    }

    #[test]
    fn unavailable_languages_of_the_owner_fall_back_to_english() {
        assert_eq!(Choice::new(Some("tlh")).locales()[0].tag, DEFAULT);
        assert_eq!(Choice::new(Some("en-GB")).locales()[0].tag, DEFAULT);
        assert_eq!(Locale::new("ar-EG", "{}").direction(), "rtl");
    }
}
