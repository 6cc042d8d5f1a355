//! The table, the defaults file and the list of settings in effect say the same.

use super::super::sources::DEFAULTS;
use super::super::{Purpose, Settings, catalogue};
use super::{Folder, Outcome, effective, variables};

/// The defaults that owners were promised.
const PROMISED: [(&str, &str); 52] = [
    ("HOST", "127.0.0.1"),
    ("PORT", "8080"),
    ("OPERATOR_ADDRESS", "127.0.0.1:9090"),
    ("ALLOWED_ORIGINS", ""),
    ("ALLOW_MISSING_ORIGIN", "true"),
    ("MAX_CONNECTIONS", "10000"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "32"),
    ("TRUSTED_PROXIES", ""),
    ("DATABASE_URL", "sqlite://resume-chatbot.db"),
    ("DATABASE_POOL_SIZE", "8"),
    ("RESUME_PATH", ""),
    ("OPENROUTER_API_KEY", ""),
    ("LLM_BASE_URL", "https://openrouter.ai/api/v1"),
    ("LLM_MODEL", "openai/gpt-4o-mini"),
    ("LLM_FALLBACK_MODELS", ""),
    ("LLM_CONNECT_TIMEOUT", "5s"),
    ("LLM_FIRST_WORD_TIMEOUT", "30s"),
    ("LLM_IDLE_TIMEOUT", "20s"),
    ("LLM_MAX_RETRIES", "2"),
    ("LLM_APP_URL", ""),
    ("LLM_APP_TITLE", ""),
    ("DEGRADED_MODE", "excerpts"),
    ("LLM_BREAKER_FAILURES", "5"),
    ("LLM_BREAKER_PAUSE", "15s"),
    ("LLM_MAX_CONCURRENCY", "256"),
    ("LLM_MAX_QUEUE", "1024"),
    ("LLM_QUEUE_TIMEOUT", "30s"),
    ("MAX_CONTEXT_TOKENS", "8000"),
    ("MAX_RESPONSE_TOKENS", "2000"),
    ("TOKENIZER", "cl100k_base"),
    ("DAILY_TOKEN_LIMIT", ""),
    ("DAILY_COST_LIMIT", ""),
    ("DAILY_TOKEN_LIMIT_PER_ADDRESS", ""),
    ("DAILY_COST_LIMIT_PER_ADDRESS", ""),
    ("SESSION_TOKEN_LIMIT", ""),
    ("SESSION_COST_LIMIT", ""),
    ("LLM_PRICE_PROMPT", ""),
    ("LLM_PRICE_COMPLETION", ""),
    ("RATE_LIMIT_REQUESTS_PER_MINUTE", "20"),
    ("QUESTIONS_PER_MINUTE_PER_ADDRESS", "60"),
    ("SESSIONS_PER_HOUR_PER_ADDRESS", "60"),
    ("SUSPICIOUS_CONTENT", "harden"),
    ("SESSION_TTL", "24h"),
    ("RECONNECT_GRACE", "60s"),
    ("IDLE_TIMEOUT", "30m"),
    ("SLOW_READER_TIMEOUT", "30s"),
    ("HEARTBEAT_INTERVAL", "25s"),
    ("FIRST_FRAME_TIMEOUT", "10s"),
    ("MESSAGE_TIMEOUT", "60s"),
    ("SHUTDOWN_TIMEOUT", "30s"),
    ("LOG_LEVEL", "info"),
    ("LOG_FORMAT", "auto"),
];

/// Each key of the defaults file with its value and the comment right above it.
fn documented() -> Vec<(String, String, String)> {
    let mut entries = Vec::new();
    let mut comment = String::new();
    for line in DEFAULTS.lines() {
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
fn the_defaults_file_the_table_and_the_effective_list_name_the_same_settings() -> Outcome {
    let in_file: Vec<String> = documented().into_iter().map(|(key, ..)| key.to_uppercase()).collect();
    let in_table: Vec<&str> = catalogue::ALL.iter().map(|setting| setting.name).collect();
    let promised: Vec<&str> = PROMISED.iter().map(|(name, _)| *name).collect();
    let loaded = Settings::load(&Purpose::Migrate, None, [])?;
    let in_effect: Vec<&str> = loaded.settings.effective().into_iter().map(|(name, _)| name).collect();
    assert_eq!(in_file, in_table);
    assert_eq!(in_effect, in_table);
    assert_eq!(promised, in_table);
    Ok(())
}

#[test]
fn every_default_has_a_comment_right_above_it() {
    for (key, _, comment) in documented() {
        assert!(comment.trim().ends_with('.'), "{key} is explained by {comment:?}");
        assert!(!comment.contains("---"), "{key} has only a heading above it");
    }
}

#[test]
fn comments_state_the_bounds_of_the_table() {
    for (key, _, comment) in documented() {
        let setting = catalogue::ALL.iter().find(|setting| setting.name == key.to_uppercase());
        let accepted = setting.map(|setting| setting.form.accepted()).unwrap_or_default();
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
fn defaults_are_as_promised() -> Outcome {
    for (key, value, _) in documented() {
        let promised = PROMISED.iter().find(|(name, _)| *name == key.to_uppercase());
        assert_eq!(promised.map(|(_, value)| *value), Some(value.as_str()), "{key}");
    }
    let loaded = Settings::load(&Purpose::Migrate, None, [])?;
    for (name, value) in PROMISED {
        // Written in the longest unit that is exact.
        let value = if value == "60s" { "1m" } else { value };
        assert_eq!(effective(&loaded.settings, name), value, "{name}");
    }
    assert!(loaded.warnings.is_empty());
    Ok(())
}

#[test]
fn effective_values_can_be_given_again() -> Outcome {
    let folder = Folder::new()?;
    let given = [
        ("HOST", "[::1]"),
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", "LOCALHOST:9100"),
        ("ALLOWED_ORIGINS", "HTTPS://Example.com/, http://localhost:3000"),
        ("ALLOW_MISSING_ORIGIN", "Off"),
        ("LLM_BASE_URL", "http://localhost:11434/v1/"),
        ("LLM_FALLBACK_MODELS", "a/b,c/d"),
        ("LLM_IDLE_TIMEOUT", "1500ms"),
        ("DAILY_TOKEN_LIMIT", "1000000"),
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
        .filter(|(name, _)| *name != "OPENROUTER_API_KEY")
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(folder.serve(None, &again)?.settings.effective(), first);
    Ok(())
}

#[test]
fn a_copy_of_the_defaults_file_is_accepted() -> Outcome {
    let folder = Folder::new()?;
    let copy = folder.file("copy.toml", DEFAULTS)?;
    assert!(folder.serve(Some(&copy), &[]).is_ok());
    let migrated = Settings::load(&Purpose::Migrate, Some(&copy), variables(&[]));
    assert!(migrated.is_ok());
    Ok(())
}
