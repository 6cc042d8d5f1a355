//! The order of the sources, empty values, and unknown names.

use std::ffi::OsString;

use super::super::{GivenValue, LogLevel, Purpose, Settings, ValueSource};
use super::{Folder, TestResult, effective, errors_of, names, only_error_of, variables};

#[test]
fn environment_overrides_file_and_file_overrides_defaults() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file("my.toml", "port = 1111\nlog_level = \"debug\"\n")?;
    let settings = folder.serve(Some(&file), &[("PORT", "2222")])?.settings;
    assert_eq!(settings.http.port, 2222);
    assert_eq!(settings.log.levels.level, LogLevel::Debug);
    assert_eq!(settings.http.max_connections, 10_000);
    Ok(())
}

#[test]
fn empty_value_counts_as_unset() -> TestResult {
    let folder = Folder::new()?;
    let file = folder
        .file("my.toml", "port = 1111\nlog_level = \"\"\nllm_model = \"  \"\nallowed_origins = [\"\"]\n")?;
    let environment = [("PORT", ""), ("SESSION_TTL", "  "), ("LLM_FALLBACK_MODELS", " , ")];
    let settings = folder.serve(Some(&file), &environment)?.settings;
    assert_eq!(settings.http.port, 1111);
    assert_eq!(settings.log.levels.level, LogLevel::Info);
    assert_eq!(settings.llm.model, "openai/gpt-4o-mini");
    assert_eq!(effective(&settings, "SESSION_TTL"), "24h");
    assert!(settings.llm.fallback_models.is_empty());
    assert!(settings.http.allowed_origins.is_empty());
    Ok(())
}

#[test]
fn file_accepts_toml_values_and_strings() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "port = \"1111\"\nallow_missing_origin = false\nsession_ttl = 90\nmax_connections = 2_000\n\
         llm_fallback_models = [\"a/b\", \"c/d\", \"a/b\"]\nallowed_origins = \"https://a.example,https://b.example\"\n",
    )?;
    let settings = folder.serve(Some(&file), &[])?.settings;
    assert_eq!(settings.http.port, 1111);
    assert!(!settings.http.allow_missing_origin);
    assert_eq!(settings.session.ttl.as_secs(), 90);
    assert_eq!(settings.http.max_connections, 2000);
    assert_eq!(settings.llm.fallback_models, ["a/b", "c/d"]);
    assert_eq!(settings.http.allowed_origins, ["https://a.example", "https://b.example"]);
    Ok(())
}

#[test]
fn unknown_keys_in_the_file_are_errors_with_suggestions() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "prot = 1\nPORT = 2\nlog-level = \"debug\"\nrate_limit_per_minute = 3\nfavourite_colour = \"green\"\n[database]\nurl = \"x\"\n",
    )?;
    let errors = errors_of(folder.serve(Some(&file), &[]))?;
    let suggested: Vec<(&str, Option<&str>)> = errors
        .iter()
        .map(|error| (error.name.as_str(), error.problem.split_once("did you mean ").map(|(_, name)| name)))
        .collect();
    assert_eq!(
        suggested,
        [
            ("PORT", Some("port?")),
            ("database", Some("database_url?")),
            ("favourite_colour", None),
            ("log-level", Some("log_level?")),
            ("prot", Some("port?")),
            ("rate_limit_per_minute", Some("rate_limit_requests_per_minute?")),
        ]
    );
    assert!(errors.iter().all(|error| error.source == ValueSource::File(file.clone())));
    Ok(())
}

#[test]
fn values_of_the_wrong_type_are_errors() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "port = [1, 2]\nhost = { a = 1 }\nllm_fallback_models = [[\"a\"]]\nsession_ttl = 1.5\n",
    )?;
    let errors = errors_of(folder.serve(Some(&file), &[]))?;
    assert_eq!(names(&errors), ["HOST", "PORT", "LLM_FALLBACK_MODELS", "SESSION_TTL"]);
    assert!(errors.iter().all(|error| error.source == ValueSource::File(file.clone())), "{errors:?}");
    Ok(())
}

#[test]
fn unknown_variables_are_ignored_with_a_warning_if_misspelt() -> TestResult {
    let folder = Folder::new()?;
    let environment = [
        ("RATE_LIMIT_REQUEST_PER_MINUTE", "3"),
        ("LOGLEVEL", "debug"),
        ("port", "1"),
        ("HOME", "/root"),
        ("POST", "x"),
        ("PATH", "/bin"),
        ("HOSTS", "x"),
        ("SOMETHING_ELSE", "x"),
    ];
    let loaded = folder.serve(None, &environment)?;
    let warnings = loaded.warnings.join("\n");
    assert_eq!(loaded.warnings.len(), 3, "{warnings}");
    assert!(warnings.contains("did you mean RATE_LIMIT_REQUESTS_PER_MINUTE?"));
    assert!(warnings.contains("LOGLEVEL is not a setting and is ignored; did you mean LOG_LEVEL?"));
    assert!(warnings.contains("did you mean PORT?"));
    assert_eq!(loaded.settings.limits.requests_per_minute, 20);
    Ok(())
}

#[test]
fn unusable_file_is_an_error() -> TestResult {
    let folder = Folder::new()?;
    let missing = folder.0.join("none.toml");
    let error = only_error_of(folder.serve(Some(&missing), &[]))?;
    assert_eq!(error.name, "--config");
    assert!(error.problem.contains("cannot be read"), "{}", error.problem);

    let broken = folder.file("broken.toml", "port = 8080\nllm_model = gpt 4\n")?;
    let error = only_error_of(folder.serve(Some(&broken), &[]))?;
    assert!(error.problem.starts_with("is not TOML at line 2"), "{}", error.problem);

    let binary = folder.0.join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe])?;
    let error = only_error_of(folder.serve(Some(&binary), &[]))?;
    assert!(error.problem.contains("UTF-8"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn variable_that_is_not_utf_8_is_an_error_only_if_it_is_a_setting() -> TestResult {
    use std::os::unix::ffi::OsStringExt;

    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let mut environment = variables(&[]);
    environment.push((OsString::from("LOG_LEVEL"), bytes()));
    environment.push((OsString::from("OTHER"), bytes()));
    environment.push((bytes(), bytes()));
    let error = only_error_of(Settings::load(&Purpose::Migrate, None, environment))?;
    assert_eq!(error.name, "LOG_LEVEL");
    assert_eq!(error.source, ValueSource::Environment);
    assert_eq!(error.given, GivenValue::Secret);
    assert!(error.problem.contains("UTF-8"));
    Ok(())
}

#[test]
fn edit_distance_counts_single_character_edits() {
    for (from, to, distance) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("port", "port", 0),
        ("prot", "port", 2),
        ("héllo", "hello", 1),
    ] {
        assert_eq!(strsim::levenshtein(from, to), distance, "{from} {to}");
        assert_eq!(strsim::levenshtein(to, from), distance, "{to} {from}");
    }
}
