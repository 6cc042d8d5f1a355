//! The settings that each purpose reads and requires, and the file of the resume.

use std::path::PathBuf;

use super::super::{DatabaseUrl, GivenValue, Purpose, Settings};
use super::{Folder, KEY, TestResult, effective, errors_of, names, only_error_of, variables};

#[test]
fn serve_requires_a_resume_and_a_key() -> TestResult {
    let errors = errors_of(Settings::load(&Purpose::Serve, None, []))?;
    assert_eq!(names(&errors), ["RESUME_PATH", "OPENROUTER_API_KEY"]);
    assert!(errors.iter().all(|error| error.given == GivenValue::Missing));
    Ok(())
}

#[test]
fn servers_other_than_openrouter_need_no_key() -> TestResult {
    let folder = Folder::new()?;
    let local = [("OPENROUTER_API_KEY", ""), ("LLM_BASE_URL", "http://localhost:11434/v1")];
    let settings = folder.serve(None, &local)?.settings;
    assert!(settings.llm.api_key().is_none());
    assert_eq!(effective(&settings, "OPENROUTER_API_KEY"), "");
    for url in ["https://OpenRouter.ai/api/v1", "https://eu.openrouter.ai/api/v1"] {
        let error = only_error_of(folder.serve(None, &[("OPENROUTER_API_KEY", ""), ("LLM_BASE_URL", url)]))?;
        assert_eq!(error.name, "OPENROUTER_API_KEY");
    }
    let error = only_error_of(folder.serve(None, &[("OPENROUTER_API_KEY", ""), ("LLM_BASE_URL", "nope")]))?;
    assert_eq!(error.name, "LLM_BASE_URL");
    Ok(())
}

#[test]
fn openai_key_is_for_servers_other_than_openrouter() -> TestResult {
    use secrecy::ExposeSecret;

    let folder = Folder::new()?;
    let local = ("LLM_BASE_URL", "http://localhost:4000/v1");
    let (no_key, key) = (("OPENROUTER_API_KEY", ""), ("OPENAI_API_KEY", "sk-proj-0123456789"));
    let loaded = folder.serve(None, &[no_key, key, local])?;
    assert_eq!(loaded.settings.llm.api_key().map(|key| key.expose_secret()), Some("sk-proj-0123456789"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(effective(&loaded.settings, "OPENROUTER_API_KEY"), "");

    // An unused key is no error, whatever it is.
    for (environment, advice) in [
        (&[key][..], "https://api.openai.com/v1"),
        (&[("OPENAI_API_KEY", "none")][..], "set OPENROUTER_API_KEY"),
        (&[key, local][..], "unset OPENROUTER_API_KEY"),
    ] {
        let loaded = folder.serve(None, environment)?;
        assert_eq!(loaded.settings.llm.api_key().map(|key| key.expose_secret()), Some(KEY));
        assert_eq!(effective(&loaded.settings, "OPENAI_API_KEY"), "");
        assert_eq!(loaded.warnings.len(), 1);
        assert!(loaded.warnings[0].starts_with("OPENAI_API_KEY is ignored"), "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains(advice), "{:?}", loaded.warnings);
    }
    let error = only_error_of(folder.serve(None, &[no_key, key]))?;
    assert_eq!(error.name, "OPENROUTER_API_KEY");
    assert!(error.problem.contains("does not receive OPENAI_API_KEY"), "{}", error.problem);
    let error = only_error_of(folder.serve(None, &[no_key, ("OPENAI_API_KEY", "changeme"), local]))?;
    assert_eq!((error.name.as_str(), error.given), ("OPENAI_API_KEY", GivenValue::Secret));
    Ok(())
}

#[test]
fn demo_ignores_the_resume_key_and_database() -> TestResult {
    let database = PathBuf::from("demo.db");
    let purpose = Purpose::Demo { database: database.clone() };
    let environment = variables(&[
        ("RESUME_PATH", "/nowhere/at/all.md"),
        ("OPENROUTER_API_KEY", "changeme"),
        ("OPENAI_API_KEY", "changeme"),
        ("OPENROUTER_API_KEY_FILE", "/nowhere/key"),
        ("DATABASE_URL", "mysql://nowhere"),
        ("PORT", "3000"),
    ]);
    let settings = Settings::load(&purpose, None, environment)?.settings;
    assert!(settings.resume.path.is_none());
    assert!(settings.llm.api_key().is_none());
    assert!(matches!(settings.database.url, DatabaseUrl::Sqlite { path } if path == database));
    assert_eq!(settings.http.port, 3000);
    let error = only_error_of(Settings::load(&purpose, None, variables(&[("PORT", "x")])))?;
    assert_eq!(error.name, "PORT");
    Ok(())
}

#[test]
fn migrate_reads_only_database_and_log_settings() -> TestResult {
    let others = [("PORT", "x"), ("RESUME_PATH", "/nowhere"), ("OPENROUTER_API_KEY", KEY)];
    let settings = Settings::load(&Purpose::Migrate, None, variables(&others))?.settings;
    assert!(settings.resume.path.is_none() && settings.llm.api_key().is_none());
    let environment = variables(&[("DATABASE_URL", "x"), ("LOG_LEVEL", "x"), ("DATABASE_POOL_SIZE", "0")]);
    let errors = errors_of(Settings::load(&Purpose::Migrate, None, environment))?;
    assert_eq!(names(&errors), ["DATABASE_URL", "DATABASE_POOL_SIZE", "LOG_LEVEL"]);
    Ok(())
}

#[test]
fn report_reads_only_the_database_and_probe_only_the_address() -> TestResult {
    let environment = [("DATABASE_URL", "x"), ("DATABASE_POOL_SIZE", "0"), ("PORT", "x"), ("LOG_LEVEL", "x")];
    let errors = errors_of(Settings::load(&Purpose::Report, None, variables(&environment)))?;
    assert_eq!(names(&errors), ["DATABASE_URL", "DATABASE_POOL_SIZE"]);
    let errors = errors_of(Settings::load(&Purpose::Probe, None, variables(&environment)))?;
    assert_eq!(names(&errors), ["PORT"]);
    Ok(())
}

#[test]
fn ask_requires_a_key_but_neither_resume_nor_database() -> TestResult {
    let environment = [("DATABASE_URL", "x"), ("RESUME_PATH", "/nowhere")];
    let errors = errors_of(Settings::load(&Purpose::Ask, None, variables(&environment)))?;
    assert_eq!(names(&errors), ["OPENROUTER_API_KEY"]);
    let local = [("LLM_BASE_URL", "http://localhost:11434/v1"), ("LLM_MODEL", "llama3.2")];
    assert!(Settings::load(&Purpose::Ask, None, variables(&local)).is_ok());
    Ok(())
}

#[test]
fn resume_must_be_a_readable_non_empty_file() -> TestResult {
    let folder = Folder::new()?;
    folder.file("empty.md", "")?;
    for (path, expected) in [
        (folder.path("none.md"), "does not exist"),
        (folder.path("empty.md"), "is an empty file"),
        (folder.0.display().to_string(), "is a folder"),
        (folder.path("resume.md/x"), "cannot be read"),
        ("/dev/null".to_owned(), "is not a regular file"),
    ] {
        let error = only_error_of(folder.serve(None, &[("RESUME_PATH", &path)]))?;
        assert_eq!(error.name, "RESUME_PATH");
        assert!(error.problem.contains(expected), "{path}: {}", error.problem);
    }
    let resume = folder.serve(None, &[])?.settings.resume;
    assert!(resume.path.is_some_and(|path| path == folder.0.join("resume.md")));
    Ok(())
}

#[cfg(unix)]
#[test]
fn unreadable_resume_is_rejected() -> TestResult {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new()?;
    let path = folder.file("closed.md", "x")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000))?;
    if std::fs::File::open(&path).is_ok() {
        // The superuser can read it regardless of its permissions.
        return Ok(());
    }
    let error = only_error_of(folder.serve(None, &[("RESUME_PATH", &path.display().to_string())]))?;
    assert!(error.problem.contains("is not readable"), "{}", error.problem);
    Ok(())
}
