//! The declarations, and the documentation that is generated from them.

use std::fs;
use std::path::Path;

use super::super::values::duration;
use super::super::{Purpose, Settings, reference, registry};
use super::{Folder, TestResult, effective, variables};

/// Compares a part of a file with generated text. With `UPDATE_REFERENCE` in the environment it
/// replaces the part instead.
fn compare_or_update(path: &str, find_part: impl Fn(&str) -> Option<String>, expected: &str) -> TestResult {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&file)?;
    let part = find_part(&text).ok_or_else(|| format!("{path} has no generated part"))?;
    if part != expected && std::env::var_os("UPDATE_REFERENCE").is_some() {
        return Ok(fs::write(file, text.replacen(&part, expected, 1))?);
    }
    assert!(
        part == expected,
        "{path} is outdated; run: UPDATE_REFERENCE=1 cargo test --lib generated_from\n\n{expected}"
    );
    Ok(())
}

fn defaults_file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns each key of the defaults file with its value and the comment directly above it.
fn entries() -> Vec<(String, String, String)> {
    let mut entries = Vec::new();
    let mut comment = String::new();
    for line in defaults_file().lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some((key, value)) = line.split_once(" = ") {
            let value = value.trim_matches('"');
            entries.push((key.to_owned(), value.to_owned(), std::mem::take(&mut comment)));
        } else {
            comment.clear();
        }
    }
    entries
}

#[test]
fn defaults_file_declarations_and_effective_list_name_the_same_settings() -> TestResult {
    let in_file: Vec<String> = entries().into_iter().map(|(key, ..)| key.to_uppercase()).collect();
    let declared: Vec<&str> = registry::declarations().map(|setting| setting.name).collect();
    let loaded = Settings::load(&Purpose::Migrate, None, [])?;
    let in_effect: Vec<&str> = loaded.settings.effective().into_iter().map(|(name, _)| name).collect();
    assert_eq!(in_file, declared);
    assert_eq!(in_effect, declared);
    Ok(())
}

#[test]
fn every_default_has_a_comment_directly_above_it() {
    for (key, _, comment) in entries() {
        assert!(comment.trim().ends_with('.'), "{key} is explained by {comment:?}");
        assert!(!comment.contains("---"), "{key} has only a heading above it");
    }
}

#[test]
fn comments_state_the_declared_bounds() {
    for (key, _, comment) in entries() {
        let setting = registry::declaration(&key.to_uppercase());
        let accepted = setting.map(|setting| setting.accepted.clone()).unwrap_or_default();
        let bounds = accepted
            .strip_prefix("a duration from ")
            .and_then(|rest| rest.split_once(','))
            .map(|(bounds, _)| bounds);
        if let Some(bounds) = bounds {
            assert!(comment.contains(bounds), "{key}: {bounds} is not in {comment:?}");
        }
        if let Some((_, rest)) = accepted.split_once("one of ") {
            for word in rest.split(", ") {
                assert!(comment.contains(word), "{key}: {word} is not in {comment:?}");
            }
        }
    }
}

#[test]
fn defaults_are_as_documented() -> TestResult {
    for (key, value, _) in entries() {
        let declared = registry::declaration(&key.to_uppercase()).map(|setting| setting.default);
        assert_eq!(declared, Some(value.as_str()), "{key}");
    }
    let loaded = Settings::load(&Purpose::Migrate, None, [])?;
    for (key, value, _) in entries() {
        // Durations are formatted in the longest unit that is exact: 60s as 1m.
        let expected = match duration::parse(&value) {
            Ok(duration) if value.parse::<u64>().is_err() => duration::format(duration),
            _ => value,
        };
        assert_eq!(effective(&loaded.settings, &key.to_uppercase()), expected, "{key}");
    }
    assert!(loaded.warnings.is_empty());
    Ok(())
}

#[test]
fn effective_values_can_be_used_as_input() -> TestResult {
    let folder = Folder::new()?;
    let given = [
        ("HOST", "[::1]"),
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", "LOCALHOST:9100"),
        ("ALLOWED_ORIGINS", "HTTPS://Example.com/, http://localhost:3000"),
        ("ALLOW_MISSING_ORIGIN", "Off"),
        ("LLM_BASE_URL", "http://localhost:11434/v1/"),
        ("LLM_MODEL", "Llama 3 8B Instruct"),
        ("LLM_FALLBACK_MODELS", "a/b,c d"),
        ("LLM_IDLE_TIMEOUT", "1500ms"),
        ("DAILY_TOKEN_LIMIT", "1000000"),
        ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "OFF"),
        ("DAILY_COST_LIMIT", "2.50"),
        ("LLM_PRICE_PROMPT", "0.15"),
        ("LLM_PRICE_COMPLETION", ".6"),
        ("TOKENIZER", "O200K_BASE"),
        ("LOG_LEVEL", "warn,resume_chatbot::llm=debug"),
        ("LOG_FORMAT", "json"),
        ("SESSION_TTL", "720h"),
    ];
    let first = folder.serve(None, &given)?.settings.effective();
    let again: Vec<(&str, &str)> = first
        .iter()
        .filter(|(name, _)| !name.ends_with("_API_KEY"))
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(folder.serve(None, &again)?.settings.effective(), first);
    Ok(())
}

#[test]
fn copy_of_the_defaults_file_is_accepted() -> TestResult {
    let folder = Folder::new()?;
    let copy = folder.file("copy.toml", &defaults_file())?;
    let loaded = folder.serve(Some(&copy), &[])?;
    let default = folder.serve(None, &[])?;
    assert_eq!(loaded.settings.effective(), default.settings.effective());
    let migrated = Settings::load(&Purpose::Migrate, Some(&copy), variables(&[]));
    assert!(migrated.is_ok());
    Ok(())
}

#[test]
fn defaults_file_is_generated_from_the_declarations() -> TestResult {
    compare_or_update("config/default.toml", |text| Some(text.to_owned()), &reference::default_toml())
}

#[test]
fn readme_table_is_generated_from_the_declarations() -> TestResult {
    let find_table = |text: &str| {
        let lines = text.split_inclusive('\n').skip_while(|line| !line.starts_with("| setting | default |"));
        let table: String = lines.take_while(|line| line.starts_with('|')).collect();
        (!table.is_empty()).then_some(table)
    };
    compare_or_update("README.md", find_table, &reference::readme_table())
}

#[test]
fn help_lists_every_setting_with_its_default() {
    let help = reference::help();
    for (key, default, _) in entries() {
        let name = key.to_uppercase();
        assert!(help.contains(&format!("\n  {name}\n")), "{name} is not in:\n{help}");
        assert!(default.is_empty() || help.contains(&format!(" [default: {default}]")), "{name}");
    }
}
