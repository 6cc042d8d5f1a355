//! Faults are told all at once, each with its name, what was given and what is accepted.

use super::super::{Given, Source};
use super::{Folder, Outcome, faults_of, names, only_fault_of};

#[test]
fn every_fault_of_every_layer_is_told_at_once() -> Outcome {
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
        ("LLM_MODEL", "gpt 4"),
        ("LLM_CONNECT_TIMEOUT", "0"),
        ("LLM_MAX_CONCURRENCY", "-1"),
        ("MAX_CONTEXT_TOKENS", "511"),
        ("TOKENIZER", "p50k"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "601"),
        ("SESSION_TTL", "721h"),
        ("LOG_FORMAT", "xml"),
    ];
    let result = folder.serve(Some(&file), &environment);
    let told = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let faults = faults_of(result)?;
    assert_eq!(
        names(&faults),
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
    assert!(told.starts_with("22 settings are at fault\n\n"), "{told}");
    for fault in &faults {
        assert!(told.contains(&format!("\n{} ", fault.name)), "{} is not in {told}", fault.name);
        assert!(!fault.accepted.is_empty() && !fault.problem.is_empty(), "{fault:?}");
    }
    Ok(())
}

#[test]
fn a_fault_reads_as_name_given_and_accepted() -> Outcome {
    let folder = Folder::new()?;
    let fault = only_fault_of(folder.serve(None, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "abc")]))?;
    assert_eq!(
        fault.to_string(),
        "RATE_LIMIT_REQUESTS_PER_MINUTE is not a whole number\n  \
         given:    abc (in the environment)\n  \
         accepted: a whole number from 1 to 600"
    );
    let fault = only_fault_of(folder.serve(None, &[("OPENROUTER_API_KEY", "")]))?;
    assert_eq!(
        fault.to_string(),
        "OPENROUTER_API_KEY is required by openrouter.ai\n  \
         given:    nothing\n  \
         accepted: a key from https://openrouter.ai/keys: visible ASCII characters, without quotes or spaces"
    );
    Ok(())
}

#[test]
fn one_fault_is_told_in_the_singular() -> Outcome {
    let folder = Folder::new()?;
    let told = folder.serve(None, &[("PORT", "x")]).err().map(|error| error.to_string());
    assert!(told.is_some_and(|told| told.starts_with("one setting is at fault\n\nPORT is ")));
    Ok(())
}

#[test]
fn the_source_of_a_fault_is_told() -> Outcome {
    let folder = Folder::new()?;
    let file = folder.file("my.toml", "port = -1\n")?;
    let fault = only_fault_of(folder.serve(Some(&file), &[]))?;
    assert_eq!(fault.source, Source::File(file.clone()));
    assert_eq!(fault.given, Given::Shown("-1".to_owned()));
    assert!(fault.to_string().contains("my.toml"));
    Ok(())
}

#[test]
fn what_was_given_is_cut_and_made_harmless() -> Outcome {
    let folder = Folder::new()?;
    let long = "é".repeat(61);
    let fault = only_fault_of(folder.serve(None, &[("PORT", &long)]))?;
    assert_eq!(fault.given, Given::Shown(format!("{}…", "é".repeat(59))));
    let fault = only_fault_of(folder.serve(None, &[("PORT", &"é".repeat(60))]))?;
    assert_eq!(fault.given, Given::Shown("é".repeat(60)));
    let fault = only_fault_of(folder.serve(None, &[("PORT", "1\n2\u{1b}[2J\u{202e}3")]))?;
    assert_eq!(fault.given, Given::Shown("1\\n2\\u{1b}[2J\\u{202e}3".to_owned()));
    Ok(())
}
