//! Secrets in files of their own.

use secrecy::ExposeSecret;

use super::super::{DatabaseUrl, GivenValue, Purpose, Settings, ValueSource, reference};
use super::{Folder, KEY, TestResult, errors_of, names, only_error_of, variables};

/// The key is in a file.
const NO_KEY: (&str, &str) = ("OPENROUTER_API_KEY", "");

#[test]
fn secrets_are_read_from_files_without_the_newline_at_the_end() -> TestResult {
    let folder = Folder::new()?;
    for ending in ["", "\n", "\r\n"] {
        let path = folder.file("key", &format!("{KEY}{ending}"))?.display().to_string();
        let settings = folder.serve(None, &[NO_KEY, ("OPENROUTER_API_KEY_FILE", &path)])?.settings;
        assert_eq!(settings.llm.api_key().map(|key| key.expose_secret()), Some(KEY));
    }
    let url = folder.file("url", "postgres://ada:hunter2@db.example/chat\n")?.display().to_string();
    let file = folder.file("my.toml", &format!("database_url_file = \"{url}\"\n"))?;
    let settings = folder.serve(Some(&file), &[])?.settings;
    assert!(matches!(settings.database.url, DatabaseUrl::Postgres { .. }), "{:?}", settings.database.url);

    let key = folder.file("openai", "sk-proj-0123456789\n")?.display().to_string();
    let local = ("LLM_BASE_URL", "http://localhost/v1");
    let settings = folder.serve(None, &[NO_KEY, ("OPENAI_API_KEY_FILE", &key), local])?.settings;
    assert_eq!(settings.llm.api_key().map(|key| key.expose_secret()), Some("sk-proj-0123456789"));
    Ok(())
}

#[test]
fn environment_overrides_the_file_of_settings_in_either_form() -> TestResult {
    let folder = Folder::new()?;
    let key = folder.file("key", "key-of-the-file")?.display().to_string();
    for (toml, environment, expected) in [
        (
            format!("openrouter_api_key = \"{KEY}\""),
            ("OPENROUTER_API_KEY_FILE", key.as_str()),
            "key-of-the-file",
        ),
        ("openrouter_api_key_file = \"/nowhere\"".to_owned(), ("OPENROUTER_API_KEY", KEY), KEY),
        (format!("openrouter_api_key_file = \"{key}\""), ("OPENROUTER_API_KEY_FILE", ""), "key-of-the-file"),
    ] {
        let file = folder.file("my.toml", &toml)?;
        let resume = folder.path("resume.md");
        let environment = variables(&[("RESUME_PATH", &resume), environment]);
        let settings = Settings::load(&Purpose::Serve, Some(&file), environment)?.settings;
        assert_eq!(settings.llm.api_key().map(|key| key.expose_secret()), Some(expected), "{toml}");
    }
    Ok(())
}

#[test]
fn unusable_files_are_one_clear_error_each() -> TestResult {
    let folder = Folder::new()?;
    folder.file("empty", " \n")?;
    folder.file("long", &"k".repeat(16 * 1024 + 1))?;
    std::fs::write(folder.0.join("binary"), [0xff, 0xfe])?;
    for (path, expected) in [
        (folder.path("none"), "cannot be read: No such file"),
        (folder.0.display().to_string(), "cannot be read"),
        (folder.path("empty"), "is an empty file"),
        (folder.path("long"), "is larger than 16 KiB"),
        (folder.path("binary"), "does not contain UTF-8 text"),
    ] {
        let error = only_error_of(folder.serve(None, &[NO_KEY, ("OPENROUTER_API_KEY_FILE", &path)]))?;
        assert_eq!(error.name, "OPENROUTER_API_KEY_FILE");
        assert!(error.problem.contains(expected), "{}", error.problem);
        assert_eq!(error.source, ValueSource::Environment);
        assert!(error.accepted.contains("a key from https://openrouter.ai/keys"), "{}", error.accepted);
    }
    let path = folder.file("key", KEY)?.display().to_string();
    let error = only_error_of(folder.serve(None, &[("OPENROUTER_API_KEY_FILE", &path)]))?;
    assert!(error.problem.contains("is set together with OPENROUTER_API_KEY"), "{}", error.problem);
    let url = folder.path("none");
    let errors =
        errors_of(Settings::load(&Purpose::Migrate, None, variables(&[("DATABASE_URL_FILE", &url)])))?;
    assert_eq!(names(&errors), ["DATABASE_URL_FILE"]);
    Ok(())
}

#[test]
fn invalid_content_names_the_file_and_is_not_shown() -> TestResult {
    let folder = Folder::new()?;
    let path = folder.file("key", "two\nlines-0123456789")?;
    let shown = path.display().to_string();
    let error = only_error_of(folder.serve(None, &[NO_KEY, ("OPENROUTER_API_KEY_FILE", &shown)]))?;
    assert_eq!((error.name.as_str(), &error.given), ("OPENROUTER_API_KEY", &GivenValue::Secret));
    assert_eq!(error.source, ValueSource::File(path));
    assert!(!error.to_string().contains("0123456789"), "{error}");
    Ok(())
}

#[test]
fn secret_given_as_a_path_is_not_shown() -> TestResult {
    let folder = Folder::new()?;
    for (name, secret) in [
        ("OPENROUTER_API_KEY_FILE", KEY),
        ("OPENROUTER_API_KEY_FILE", "0123456789abcdef"),
        ("DATABASE_URL_FILE", "postgres://ada:0123456789@db.example/chat"),
    ] {
        let error = only_error_of(
            folder.serve(None, &[NO_KEY, ("LLM_BASE_URL", "http://localhost/v1"), (name, secret)]),
        )?;
        assert_eq!((error.name.as_str(), &error.given), (name, &GivenValue::Secret));
        assert!(!error.to_string().contains("0123456789"), "{error}");
    }
    Ok(())
}

#[test]
fn only_secrets_have_a_file_and_every_secret_is_documented() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file("my.toml", "llm_model_file = \"x\"\nOPENROUTER_API_KEY_FILE = \"x\"\n")?;
    let errors = errors_of(folder.serve(Some(&file), &[("PORT_FILE", "/nowhere")]))?;
    assert_eq!(names(&errors), ["OPENROUTER_API_KEY_FILE", "llm_model_file"]);
    for name in ["OPENROUTER_API_KEY_FILE", "OPENAI_API_KEY_FILE", "DATABASE_URL_FILE"] {
        assert!(reference::default_toml().contains(&name.to_lowercase()), "{name}");
        assert!(reference::readme_table().contains(&format!("`{name}`")), "{name}");
        assert!(reference::help().contains(name), "{name}");
    }
    Ok(())
}
