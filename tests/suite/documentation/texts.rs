//! The texts of the chat: every code that a client can receive has one, and so has every key that
//! the user interface names.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use super::markdown::{page, root};

/// The English texts, by key.
fn texts() -> Map<String, Value> {
    let text = fs::read_to_string(root().join("assets/locales/en.json")).unwrap();
    serde_json::from_str(&text).unwrap()
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
