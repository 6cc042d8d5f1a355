//! The texts of the chat: every code that a client can receive has one, so has every key that the
//! user interface names, and every language has all of them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use super::markdown::{page, root};

/// The languages besides English, with the plural categories that `Intl.PluralRules` has for them.
const LANGUAGES: [(&str, &str); 11] = [
    ("ar", "few many one other two zero"),
    ("de", "one other"),
    ("es", "many one other"),
    ("fr", "many one other"),
    ("it", "many one other"),
    ("ja", "other"),
    ("nl", "one other"),
    ("pl", "few many one other"),
    ("pt", "many one other"),
    ("tr", "one other"),
    ("zh", "other"),
];

/// Texts that are the same in English.
const SAME_AS_IN_ENGLISH: [(&str, &str); 2] = [("fr", "header.menu"), ("fr", "messages.label")];

/// The English texts, by key.
fn texts() -> Map<String, Value> {
    texts_in("en")
}

/// The texts in a language, by key.
fn texts_in(language: &str) -> Map<String, Value> {
    let text = fs::read_to_string(root().join(format!("assets/locales/{language}.json"))).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{language}: {error}"))
}

/// The names in braces in a text.
fn parameters(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// The plural categories of a text with their forms, sorted.
fn plural_forms(text: &Value) -> Option<Vec<(&String, &str)>> {
    let mut forms: Vec<(&String, &str)> =
        text.as_object()?.iter().map(|(category, form)| (category, form.as_str().unwrap())).collect();
    forms.sort_unstable();
    Some(forms)
}

#[test]
fn every_language_has_all_texts_with_the_same_parameters() {
    let english = texts();
    for (language, categories) in LANGUAGES {
        let translated = texts_in(language);
        assert!(translated.keys().eq(english.keys()), "the keys of {language} and en differ");
        for (key, text) in &translated {
            let expected = &english[key];
            let same = SAME_AS_IN_ENGLISH.contains(&(language, key.as_str()));
            assert_eq!(text == expected, same, "{language}: is {key} translated?");
            let Some(forms) = plural_forms(text) else {
                let [text, expected] = [text, expected].map(|text| text.as_str().unwrap());
                assert_eq!(parameters(text), parameters(expected), "{language}: {key}");
                assert_eq!(text.trim(), text, "{language}: {key}");
                continue;
            };
            let names: Vec<&str> = forms.iter().map(|(category, _)| category.as_str()).collect();
            assert_eq!(names.join(" "), categories, "{language}: {key}");
            let allowed = parameters(expected["other"].as_str().unwrap());
            for (category, form) in forms {
                // "one day" and "two days" can have the number in words.
                let in_words = language == "ar" && matches!(category.as_str(), "zero" | "one" | "two");
                assert!(parameters(form) == allowed || in_words, "{language}: {key}, {category}");
            }
        }
    }
}

#[test]
fn every_locale_is_tested() {
    let mut found: Vec<String> = fs::read_dir(root().join("assets/locales"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|language| language != "en")
        .collect();
    found.sort_unstable();
    assert_eq!(found, LANGUAGES.map(|(language, _)| language));
}

#[test]
fn bubble_has_texts_in_every_language() {
    let text = fs::read_to_string(root().join("assets/widget/texts.json")).unwrap();
    let texts: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let found: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    assert_eq!(found, LANGUAGES.iter().map(|(language, _)| *language).chain(["en"]).collect());

    let keys = |language: &str| texts[language].as_object().unwrap().keys();
    for (language, _) in LANGUAGES {
        assert!(keys(language).eq(keys("en")), "the keys of {language} and en differ");
        for (key, text) in texts[language].as_object().unwrap() {
            let [text, english] = [text, &texts["en"][key]].map(|text| text.as_str().unwrap());
            assert!(!text.is_empty(), "{language}: {key}");
            assert_eq!(parameters(text), parameters(english), "{language}: {key}");
        }
    }
}

/// Returns the first cells of the rows of the first table that follows a line of a page.
fn codes_below(path: &str, line: &str) -> Vec<String> {
    let page = page(path);
    let rows = page.text.lines().skip_while(|other| *other != line).skip_while(|line| !line.starts_with('|'));
    let cells = rows.take_while(|line| line.starts_with('|')).skip(2).filter_map(|row| row.split('|').nth(1));
    let codes: Vec<String> = cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    assert!(!codes.is_empty(), "{path} has no table below {line:?}");
    codes
}

#[test]
fn every_code_has_a_text_for_visitors() {
    // Unit tests compare these tables with the codes of the server.
    const REFERENCE: &str = "docs/api_reference.md";
    let texts = texts();
    let tables = [("error", "## Error codes"), ("close", "## Close codes"), ("notice", "### `notice`")];

    for (kind, heading) in tables {
        let codes = codes_below(REFERENCE, heading);
        // The table of codes follows the table of fields.
        let codes = if kind == "notice" { codes_below(REFERENCE, "| code | meaning |") } else { codes };
        for code in codes {
            assert!(texts.contains_key(&format!("{kind}.{code}")), "no text for the {kind} code {code}");
        }
    }
}

#[test]
fn every_key_of_the_user_interface_exists() {
    let texts = texts();
    let groups: BTreeSet<&str> = texts.keys().filter_map(|key| key.split('.').next()).collect();
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root().join("assets/ui")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "js") {
            let source = fs::read_to_string(&path).unwrap();
            let strings = source.split('"').skip(1).step_by(2);
            let is_key = |text: &&str| {
                text.split('.').next().is_some_and(|group| groups.contains(group)) && is_dotted(text)
            };
            keys.extend(strings.filter(is_key).map(str::to_owned));
        }
    }

    assert!(keys.len() > 40, "only {} keys were found", keys.len());
    let missing: Vec<&String> = keys.iter().filter(|key| !texts.contains_key(*key)).collect();
    assert!(missing.is_empty(), "no texts for {missing:?}");
}

/// Whether a text consists of two names with a dot in between.
fn is_dotted(text: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric());
    text.split_once('.').is_some_and(|(group, name)| is_name(group) && is_name(name))
}
