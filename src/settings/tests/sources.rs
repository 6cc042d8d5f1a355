//! Which layer wins, what empty means, and what names that are no settings do.

use std::ffi::OsString;

use super::super::{Given, LogLevel, Purpose, Settings, Source, suggest};
use super::{Folder, Outcome, effective, faults_of, names, only_fault_of, variables};

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() -> Outcome {
    let folder = Folder::new()?;
    let file = folder.file("my.toml", "port = 1111\nlog_level = \"debug\"\n")?;
    let settings = folder.serve(Some(&file), &[("PORT", "2222")])?.settings;
    assert_eq!(settings.http.port, 2222);
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.http.max_connections, 10_000);
    Ok(())
}

#[test]
fn an_empty_value_is_as_good_as_no_line() -> Outcome {
    let folder = Folder::new()?;
    let file = folder
        .file("my.toml", "port = 1111\nlog_level = \"\"\nllm_model = \"  \"\nallowed_origins = [\"\"]\n")?;
    let environment = [("PORT", ""), ("SESSION_TTL", "  "), ("LLM_FALLBACK_MODELS", " , ")];
    let settings = folder.serve(Some(&file), &environment)?.settings;
    assert_eq!(settings.http.port, 1111);
    assert_eq!(settings.log.level, LogLevel::Info);
    assert_eq!(settings.llm.model, "openai/gpt-4o-mini");
    assert_eq!(effective(&settings, "SESSION_TTL"), "24h");
    assert!(settings.llm.fallback_models.is_empty());
    assert!(settings.http.allowed_origins.is_empty());
    Ok(())
}

#[test]
fn the_file_takes_toml_values_and_texts_alike() -> Outcome {
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
fn unknown_keys_of_the_file_are_faults_that_guess_what_was_meant() -> Outcome {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "prot = 1\nPORT = 2\nlog-level = \"debug\"\nrate_limit_per_minute = 3\nfavourite_colour = \"green\"\n[database]\nurl = \"x\"\n",
    )?;
    let faults = faults_of(folder.serve(Some(&file), &[]))?;
    let meant: Vec<(&str, Option<&str>)> = faults
        .iter()
        .map(|fault| (fault.name.as_str(), fault.problem.split_once("did you mean ").map(|(_, name)| name)))
        .collect();
    assert_eq!(
        meant,
        [
            ("PORT", Some("port?")),
            ("database", Some("database_url?")),
            ("favourite_colour", None),
            ("log-level", Some("log_level?")),
            ("prot", Some("port?")),
            ("rate_limit_per_minute", Some("rate_limit_requests_per_minute?")),
        ]
    );
    assert!(faults.iter().all(|fault| fault.source == Source::File(file.clone())));
    Ok(())
}

#[test]
fn values_of_the_wrong_shape_are_faults() -> Outcome {
    let folder = Folder::new()?;
    let file = folder.file(
        "my.toml",
        "port = [1, 2]\nhost = { a = 1 }\nllm_fallback_models = [[\"a\"]]\nsession_ttl = 1.5\n",
    )?;
    let faults = faults_of(folder.serve(Some(&file), &[]))?;
    assert_eq!(names(&faults), ["HOST", "PORT", "LLM_FALLBACK_MODELS", "SESSION_TTL"]);
    Ok(())
}

#[test]
fn unknown_variables_are_ignored_but_near_misses_are_warned_of() -> Outcome {
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
    let warned = loaded.warnings.join("\n");
    assert_eq!(loaded.warnings.len(), 3, "{warned}");
    assert!(warned.contains("did you mean RATE_LIMIT_REQUESTS_PER_MINUTE?"));
    assert!(warned.contains("LOGLEVEL is no setting and is ignored; did you mean LOG_LEVEL?"));
    assert!(warned.contains("did you mean PORT?"));
    assert_eq!(loaded.settings.limits.requests_per_minute, 20);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_used_is_a_fault() -> Outcome {
    let folder = Folder::new()?;
    let missing = folder.0.join("none.toml");
    let fault = only_fault_of(folder.serve(Some(&missing), &[]))?;
    assert_eq!(fault.name, "--config");
    assert!(fault.problem.contains("cannot be read"), "{}", fault.problem);

    let broken = folder.file("broken.toml", "port = 8080\nllm_model = gpt 4\n")?;
    let fault = only_fault_of(folder.serve(Some(&broken), &[]))?;
    assert!(fault.problem.starts_with("is not TOML at line 2"), "{}", fault.problem);

    let binary = folder.0.join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe])?;
    let fault = only_fault_of(folder.serve(Some(&binary), &[]))?;
    assert!(fault.problem.contains("UTF-8"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_a_fault_only_if_it_is_a_setting() -> Outcome {
    use std::os::unix::ffi::OsStringExt;

    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let mut environment = variables(&[]);
    environment.push((OsString::from("LOG_LEVEL"), bytes()));
    environment.push((OsString::from("OTHER"), bytes()));
    environment.push((bytes(), bytes()));
    let fault = only_fault_of(Settings::load(&Purpose::Migrate, None, environment))?;
    assert_eq!(fault.name, "LOG_LEVEL");
    assert_eq!(fault.source, Source::Environment);
    assert_eq!(fault.given, Given::Secret);
    assert!(fault.problem.contains("UTF-8"));
    Ok(())
}

#[test]
fn distance_counts_slips() {
    for (from, to, slips) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("port", "port", 0),
        ("prot", "port", 2),
        ("héllo", "hello", 1),
    ] {
        assert_eq!(suggest::distance(from, to), slips, "{from} {to}");
        assert_eq!(suggest::distance(to, from), slips, "{to} {from}");
    }
}
