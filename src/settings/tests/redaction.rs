//! Secrets are never shown.

use super::super::values::api_key;
use super::super::{GivenValue, redact};
use super::{Folder, KEY, TestResult, effective, only_error_of};

const PASSWORD: &str = "hunter2";

#[test]
fn settings_show_no_secret() -> TestResult {
    let folder = Folder::new()?;
    let url = format!("postgresql+asyncpg://ada:{PASSWORD}@db.example/chat?password={PASSWORD}");
    let loaded = folder.serve(None, &[("DATABASE_URL", &url)])?;
    let all = format!("{loaded:?} {loaded:#?} {:?}", loaded.settings.effective());
    assert!(!all.contains(PASSWORD) && !all.contains(KEY), "{all}");
    assert_eq!(effective(&loaded.settings, "OPENROUTER_API_KEY"), "••••WXYZ");
    assert_eq!(effective(&loaded.settings, "DATABASE_URL"), "postgresql://••••@db.example/chat?••••");
    Ok(())
}

#[test]
fn only_long_keys_show_their_last_characters() {
    assert_eq!(api_key::redacted(&"a".repeat(19).into()), "••••");
    assert_eq!(api_key::redacted(&format!("{}1234", "a".repeat(16)).into()), "••••1234");
}

#[test]
fn errors_show_no_password_at_any_position() -> TestResult {
    let folder = Folder::new()?;
    for url in [
        "mysql://ada:hunter2@db.example/chat",
        "postgres://ada:hunter2/chat",
        "postgres://ada:hunter2",
        "postgres://ada:hun/ter2@db.example/chat",
        "postgres://ada:hunter2?x@db.example/chat",
        "postgres://ada:hunter2#x@db.example/chat",
        "postgres://ada:x?hunter2@db.example/chat",
        "postgres://ada:x@y@db.example:hunter2/chat",
        "postgres:///chat?password=hunter2",
        "postgres:///chat?password=hunter2@2",
        "postgres:ada:hunter2@db.example/chat",
        "postgres//ada:hunter2@db.example/chat",
        "postgres//ada:hunter2/chat",
        "postgres:/ada:hunter2/chat",
        "postgres:///ada:hunter2/chat",
        "host=db.example user=ada password=hunter2",
        "ada:hunter2@db.example/chat",
        "\"postgres://ada:hunter2@db.example/chat\"",
        "'postgres://ada:hunter2@db.example/chat'",
        "sqlite://ada:hunter2@/nowhere/chat.db",
        "sqlite:///nowhere/chat.db?key=hunter2",
    ] {
        let result = folder.serve(None, &[("DATABASE_URL", url)]);
        let all =
            format!("{result:?} {}", result.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert!(!all.contains("hunter2") && !all.contains("ter2"), "{url}: {all}");
        assert_eq!(only_error_of(result).map_err(|error| format!("{url}: {error}"))?.name, "DATABASE_URL");
    }
    Ok(())
}

#[test]
fn errors_show_the_public_parts_of_urls() {
    for (given, redacted) in [
        ("mysql://ada:hunter2@db.example/chat", Some("mysql://••••@db.example/chat")),
        ("mysql://db.example:3306/chat?x=y", Some("mysql://db.example:3306/chat?••••")),
        ("sqlite:///nowhere/chat.db", Some("sqlite:///nowhere/chat.db")),
        ("sqlite::memory:", Some("sqlite::memory:")),
        ("chat.db", Some("chat.db")),
        ("localhost:11434/v1", Some("localhost:11434/v1")),
        ("postgres:hunter2", None),
        ("postgres://ada:987654/chat", None),
    ] {
        assert_eq!(redact::url(given).as_deref(), redacted, "{given}");
    }
}

#[test]
fn errors_show_no_key_in_any_setting() -> TestResult {
    let folder = Folder::new()?;
    let quoted = format!("\"{KEY}\"");
    let in_url = format!("https://{KEY}@openrouter.ai/api/v1");
    let in_query = format!("https://openrouter.ai/api/v1?key={KEY}");
    let in_origin = format!("https://ada:{KEY}@example.com");
    for (name, value) in [
        ("OPENROUTER_API_KEY", quoted.as_str()),
        ("LLM_MODEL", KEY),
        ("PORT", KEY),
        ("LLM_BASE_URL", KEY),
        ("LLM_BASE_URL", &in_url),
        ("LLM_BASE_URL", &in_query),
        ("ALLOWED_ORIGINS", &in_origin),
        ("DATABASE_URL", KEY),
    ] {
        let result = folder.serve(None, &[(name, value)]);
        let all =
            format!("{result:?} {}", result.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert!(!all.contains("0123456789"), "{name}: {all}");
        assert_eq!(only_error_of(result)?.name, name);
    }
    Ok(())
}

#[test]
fn errors_about_files_and_unknown_keys_show_no_api_key() -> TestResult {
    let folder = Folder::new()?;
    for text in [
        format!("openrouter_api_key = {KEY}\n"),
        format!("openrouter_api_key = \"{KEY}\n"),
        format!("OPENROUTER_API_KEY={KEY}"),
        format!("{KEY}\n"),
        format!("{KEY} = 1\n"),
        format!("openrouter_api_key = \"{KEY}\"\nopenrouter_api_key = \"{KEY}\"\n"),
        format!("openrouter_api_kee = \"{KEY}\"\n"),
        format!("openrouter_api_key = [\"{KEY}\"]\n"),
        format!("openrouter_api_key = {{ key = \"{KEY}\" }}\n"),
    ] {
        let file = folder.file("my.toml", &text)?;
        let result = folder.serve(Some(&file), &[("OPENROUTER_API_KEY", "")]);
        let all =
            format!("{result:?} {}", result.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert!(!all.contains("0123456789"), "{text}: {all}");
        assert!(result.is_err(), "{text}");
    }
    Ok(())
}

#[test]
fn placeholder_keys_are_rejected_and_never_shown() -> TestResult {
    let folder = Folder::new()?;
    for key in [
        "your-api-key-here",
        "your_api_key_here",
        "YOUR_OPENROUTER_API_KEY",
        "changeme",
        "change-me",
        "sk-or-...",
        "sk-or-v1-xxxx",
        "sk-or-v1-XXXXXXXXXXXXXXXX",
        "sk-or-v1-",
        "sk-or-v1",
        "sk-",
        "sk-or-v1-your-key-here",
        "<key>",
        "<your key>",
        "${OPENROUTER_API_KEY}",
        "{{ key }}",
        "yourkey",
        "xxx",
        "****",
        "todo",
        "none",
        "placeholder",
        "sk-or-v1-…",
        "replace_me",
        "\"sk-or-v1-0123456789abcdef\"",
        "'sk-or-v1-0123456789abcdef'",
        "sk-or-v1-0123 456789abcdef",
        "sk-or-v1-0123\n456789abcdef",
        "sk-or-v1-0123\u{7}456789abcdef",
        "sk-or-v1-0123456789abcdéf",
    ] {
        let error = only_error_of(folder.serve(None, &[("OPENROUTER_API_KEY", key)]))
            .map_err(|error| format!("{key}: {error}"))?;
        assert_eq!((error.name.as_str(), &error.given), ("OPENROUTER_API_KEY", &GivenValue::Secret));
        assert!(key.len() < 6 || key == "placeholder" || !error.to_string().contains(key), "{error}");
    }
    for key in [KEY, "test-key", "ollama", "0f3a", &format!("  {KEY}\n")] {
        assert!(folder.serve(None, &[("OPENROUTER_API_KEY", key)]).is_ok(), "{key}");
    }
    Ok(())
}
