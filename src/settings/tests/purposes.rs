//! What is read, and required, for each purpose; and the resume's file.

use std::path::PathBuf;

use super::super::{DatabaseUrl, Given, Purpose, Settings};
use super::{Folder, KEY, Outcome, effective, faults_of, names, only_fault_of, variables};

#[test]
fn serving_requires_a_resume_and_a_key() -> Outcome {
    let faults = faults_of(Settings::load(&Purpose::Serve, None, []))?;
    assert_eq!(names(&faults), ["RESUME_PATH", "OPENROUTER_API_KEY"]);
    assert!(faults.iter().all(|fault| fault.given == Given::Missing));
    Ok(())
}

#[test]
fn another_server_needs_no_key() -> Outcome {
    let folder = Folder::new()?;
    let local = [("OPENROUTER_API_KEY", ""), ("LLM_BASE_URL", "http://localhost:11434/v1")];
    let settings = folder.serve(None, &local)?.settings;
    assert!(settings.llm.api_key.is_none());
    assert_eq!(effective(&settings, "OPENROUTER_API_KEY"), "");
    for url in ["https://OpenRouter.ai/api/v1", "https://eu.openrouter.ai/api/v1"] {
        let fault = only_fault_of(folder.serve(None, &[("OPENROUTER_API_KEY", ""), ("LLM_BASE_URL", url)]))?;
        assert_eq!(fault.name, "OPENROUTER_API_KEY");
    }
    Ok(())
}

#[test]
fn a_demo_ignores_the_owners_resume_key_and_database() -> Outcome {
    let database = PathBuf::from("demo.db");
    let purpose = Purpose::Demo { database: database.clone() };
    let environment = variables(&[
        ("RESUME_PATH", "/nowhere/at/all.md"),
        ("OPENROUTER_API_KEY", "changeme"),
        ("DATABASE_URL", "mysql://nowhere"),
        ("PORT", "3000"),
    ]);
    let settings = Settings::load(&purpose, None, environment)?.settings;
    assert!(settings.resume.is_none());
    assert!(settings.llm.api_key.is_none());
    assert!(matches!(settings.database.url, DatabaseUrl::Sqlite { path } if path == database));
    assert_eq!(settings.http.port, 3000);
    let fault = only_fault_of(Settings::load(&purpose, None, variables(&[("PORT", "x")])))?;
    assert_eq!(fault.name, "PORT");
    Ok(())
}

#[test]
fn a_migration_reads_only_the_database_and_the_log() -> Outcome {
    let others = [("PORT", "x"), ("RESUME_PATH", "/nowhere"), ("OPENROUTER_API_KEY", KEY)];
    let settings = Settings::load(&Purpose::Migrate, None, variables(&others))?.settings;
    assert!(settings.resume.is_none() && settings.llm.api_key.is_none());
    let environment = variables(&[("DATABASE_URL", "x"), ("LOG_LEVEL", "x"), ("DATABASE_POOL_SIZE", "0")]);
    let faults = faults_of(Settings::load(&Purpose::Migrate, None, environment))?;
    assert_eq!(names(&faults), ["DATABASE_URL", "DATABASE_POOL_SIZE", "LOG_LEVEL"]);
    Ok(())
}

#[test]
fn reports_read_only_the_database_and_a_probe_only_the_address() -> Outcome {
    let environment = [("DATABASE_URL", "x"), ("DATABASE_POOL_SIZE", "0"), ("PORT", "x"), ("LOG_LEVEL", "x")];
    let faults = faults_of(Settings::load(&Purpose::Report, None, variables(&environment)))?;
    assert_eq!(names(&faults), ["DATABASE_URL", "DATABASE_POOL_SIZE"]);
    let faults = faults_of(Settings::load(&Purpose::Probe, None, variables(&environment)))?;
    assert_eq!(names(&faults), ["PORT"]);
    Ok(())
}

#[test]
fn the_resume_must_be_a_readable_file_with_something_in_it() -> Outcome {
    let folder = Folder::new()?;
    folder.file("empty.md", "")?;
    for (path, expected) in [
        (folder.path("none.md"), "does not exist"),
        (folder.path("empty.md"), "is an empty file"),
        (folder.0.display().to_string(), "is a folder"),
        (folder.path("resume.md/x"), "cannot be read"),
        ("/dev/null".to_owned(), "is not a regular file"),
    ] {
        let fault = only_fault_of(folder.serve(None, &[("RESUME_PATH", &path)]))?;
        assert_eq!(fault.name, "RESUME_PATH");
        assert!(fault.problem.contains(expected), "{path}: {}", fault.problem);
    }
    let resume = folder.serve(None, &[])?.settings.resume;
    assert!(resume.is_some_and(|resume| resume.path == folder.0.join("resume.md")));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_resume_without_permission_is_a_fault() -> Outcome {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new()?;
    let path = folder.file("closed.md", "x")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000))?;
    if std::fs::File::open(&path).is_ok() {
        // The superuser may read it all the same.
        return Ok(());
    }
    let fault = only_fault_of(folder.serve(None, &[("RESUME_PATH", &path.display().to_string())]))?;
    assert!(fault.problem.contains("may not be read"), "{}", fault.problem);
    Ok(())
}
