//! All errors are reported at once, each with the name, the given value and what is accepted.

use super::super::{GivenValue, Purpose, Settings, ValueSource};
use super::{Folder, TestResult, errors_of, names, only_error_of, variables};

#[test]
fn all_errors_of_all_sources_are_reported_at_once() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "host = \"example.com\"\nlog_level = \"loud\"\ncolour = 1\nport = 70000\nshutdown_timeout = \"2h\"\n",
    )?;
    let environment = [
        ("ALLOWED_ORIGINS", "*, https://ok.example, example.com"),
        ("ALLOW_MISSING_ORIGIN", "maybe"),
        ("MAX_CONNECTIONS", "0"),
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_POOL_SIZE", "101"),
        ("RESUME_PATH", "/nowhere.md"),
        ("OPENROUTER_API_KEY", "changeme"),
        ("LLM_BASE_URL", "ftp://x"),
        ("LLM_MODEL", "gpt\u{7}4"),
        ("LLM_CONNECT_TIMEOUT", "0"),
        ("LLM_MAX_CONCURRENCY", "-1"),
        ("MAX_CONTEXT_TOKENS", "511"),
        ("TOKENIZER", "p50k"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "601"),
        ("SESSION_TTL", "721h"),
        ("LOG_FORMAT", "xml"),
    ];
    let result = folder.serve(Some(&file), &environment);
    let message = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let errors = errors_of(result)?;
    assert_eq!(
        names(&errors),
        [
            "colour",
            "HOST",
            "PORT",
            "ALLOWED_ORIGINS",
            "ALLOWED_ORIGINS",
            "ALLOW_MISSING_ORIGIN",
            "MAX_CONNECTIONS",
            "DATABASE_URL",
            "DATABASE_POOL_SIZE",
            "RESUME_PATH",
            "OPENROUTER_API_KEY",
            "LLM_BASE_URL",
            "LLM_MODEL",
            "LLM_CONNECT_TIMEOUT",
            "LLM_MAX_CONCURRENCY",
            "MAX_CONTEXT_TOKENS",
            "TOKENIZER",
            "RATE_LIMIT_REQUESTS_PER_MINUTE",
            "SESSION_TTL",
            "SHUTDOWN_TIMEOUT",
            "LOG_LEVEL",
            "LOG_FORMAT",
        ]
    );
    assert!(message.starts_with("22 settings are invalid\n\n"), "{message}");
    for error in &errors {
        assert!(message.contains(&format!("\n{} ", error.name)), "{} is not in {message}", error.name);
        assert!(!error.accepted.is_empty() && !error.problem.is_empty(), "{error:?}");
    }
    Ok(())
}

#[test]
fn errors_are_in_the_order_of_the_settings() -> TestResult {
    let environment = variables(&[("LLM_MODEL", "gpt\u{7}4"), ("PORT", "x"), ("MAX_CONTEXT_TOKENS", "1024")]);
    let errors = errors_of(Settings::load(&Purpose::Serve, None, environment))?;
    assert_eq!(
        names(&errors),
        ["PORT", "RESUME_PATH", "OPENROUTER_API_KEY", "LLM_MODEL", "MAX_CONTEXT_TOKENS"]
    );
    Ok(())
}

#[test]
fn error_shows_name_given_and_accepted() -> TestResult {
    let folder = Folder::new()?;
    let error = only_error_of(folder.serve(None, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "abc")]))?;
    assert_eq!(
        error.to_string(),
        "RATE_LIMIT_REQUESTS_PER_MINUTE is not a whole number\n  \
         given:    abc (in the environment)\n  \
         accepted: a whole number from 1 to 600"
    );
    let error = only_error_of(folder.serve(None, &[("OPENROUTER_API_KEY", "")]))?;
    assert_eq!(
        error.to_string(),
        "OPENROUTER_API_KEY is required by openrouter.ai\n  \
         given:    nothing\n  \
         accepted: a key from https://openrouter.ai/keys: visible ASCII characters, without quotes or spaces"
    );
    Ok(())
}

#[test]
fn single_error_is_reported_in_the_singular() -> TestResult {
    let folder = Folder::new()?;
    let message = folder.serve(None, &[("PORT", "x")]).err().map(|error| error.to_string());
    assert!(message.is_some_and(|message| message.starts_with("one setting is invalid\n\nPORT is ")));
    Ok(())
}

#[test]
fn error_names_the_source() -> TestResult {
    let folder = Folder::new()?;
    let file = folder.file("my.toml", "port = -1\n")?;
    let error = only_error_of(folder.serve(Some(&file), &[]))?;
    assert_eq!(error.source, ValueSource::File(file.clone()));
    assert_eq!(error.given, GivenValue::Shown("-1".to_owned()));
    assert!(error.to_string().contains("my.toml"));
    Ok(())
}

#[test]
fn given_value_is_truncated_and_escaped() -> TestResult {
    let folder = Folder::new()?;
    let long = "é".repeat(61);
    let error = only_error_of(folder.serve(None, &[("PORT", &long)]))?;
    assert_eq!(error.given, GivenValue::Shown(format!("{}…", "é".repeat(59))));
    let error = only_error_of(folder.serve(None, &[("PORT", &"é".repeat(60))]))?;
    assert_eq!(error.given, GivenValue::Shown("é".repeat(60)));
    let error = only_error_of(folder.serve(None, &[("PORT", "1\n2\u{1b}[2J\u{202e}3")]))?;
    assert_eq!(error.given, GivenValue::Shown("1\\n2\\u{1b}[2J\\u{202e}3".to_owned()));
    Ok(())
}
