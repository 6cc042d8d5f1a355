//! The spellings of database URLs.

use secrecy::ExposeSecret;

use super::super::DatabaseUrl;
use super::{Folder, TestResult};

fn sqlite(text: &str) -> Result<String, String> {
    match DatabaseUrl::parse(text)? {
        DatabaseUrl::Sqlite { path } => Ok(path.display().to_string()),
        DatabaseUrl::Postgres { .. } => Err("is PostgreSQL".to_owned()),
    }
}

fn postgres(text: &str) -> Result<String, String> {
    match DatabaseUrl::parse(text)? {
        DatabaseUrl::Postgres { url } => Ok(url.expose_secret().to_owned()),
        DatabaseUrl::Sqlite { .. } => Err("is SQLite".to_owned()),
    }
}

#[test]
fn sqlite_paths_follow_the_rules_of_their_spelling() -> TestResult {
    let folder = Folder::new()?;
    let absolute = folder.path("chat.db");
    assert_eq!(sqlite("sqlite://chat.db")?, "chat.db");
    assert_eq!(sqlite("sqlite:chat.db")?, "chat.db");
    assert_eq!(sqlite("SQLite://./chat.db")?, "./chat.db");
    assert_eq!(sqlite(&format!("sqlite://{absolute}"))?, absolute);
    assert_eq!(sqlite(&format!("sqlite:{absolute}"))?, absolute);
    assert_eq!(sqlite("sqlite+aiosqlite:///chat.db")?, "chat.db");
    assert_eq!(sqlite("sqlite+aiosqlite:///./chat.db")?, "./chat.db");
    assert_eq!(sqlite(&format!("sqlite+aiosqlite:///{absolute}"))?, absolute);
    Ok(())
}

#[test]
fn in_memory_sqlite_is_rejected_with_a_reason() {
    for text in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///:memory:",
        "sqlite://chat.db?mode=memory",
        "sqlite:file::memory:?cache=shared",
    ] {
        let problem = sqlite(text).err().unwrap_or_default();
        assert!(problem.contains("nothing would be kept"), "{text}: {problem}");
    }
}

#[test]
fn sqlite_urls_without_a_usable_file_are_rejected() -> TestResult {
    let folder = Folder::new()?;
    let cases = [
        ("sqlite://".to_owned(), "names no file"),
        ("sqlite+aiosqlite://".to_owned(), "names no file"),
        ("sqlite+aiosqlite://chat.db".to_owned(), "no third slash"),
        ("sqlite+aiosqlite:chat.db".to_owned(), "no third slash"),
        ("sqlite://chat.db?mode=rwc".to_owned(), "options"),
        ("sqlite:file:chat.db".to_owned(), "file: URI"),
        (format!("sqlite://{}", folder.path("none/chat.db")), "folder that does not exist"),
        (format!("sqlite://{}", folder.path("resume.md/chat.db")), "not a folder"),
        (format!("sqlite://{}", folder.path("")), "names a folder"),
        (format!("sqlite://{}", folder.0.display()), "is a folder"),
    ];
    for (text, expected) in cases {
        let problem = sqlite(&text).err().unwrap_or_default();
        assert!(problem.contains(expected), "{text}: {problem:?}");
    }
    Ok(())
}

#[test]
fn sqlite_file_in_the_root_folder_causes_a_warning() -> TestResult {
    let warning = |text: &str| DatabaseUrl::parse(text).map(|url| url.warning());
    assert!(warning("sqlite:///chat.db")?.is_some());
    assert!(warning("sqlite:///./chat.db")?.is_some());
    assert!(warning("sqlite://chat.db")?.is_none());
    let folder = Folder::new()?;
    assert!(warning(&format!("sqlite://{}", folder.path("chat.db")))?.is_none());
    let loaded = folder.serve(None, &[("DATABASE_URL", "sqlite:///chat.db")])?;
    assert!(loaded.warnings.iter().any(|warning| warning.starts_with("DATABASE_URL")));
    Ok(())
}

#[test]
fn postgres_urls_are_normalized() -> TestResult {
    let rest = "//ada:pw@db.example:5432/chat";
    for scheme in [
        "postgres",
        "postgresql",
        "POSTGRESQL",
        "postgresql+asyncpg",
        "postgresql+psycopg",
        "postgresql+psycopg2",
    ] {
        assert_eq!(postgres(&format!("{scheme}:{rest}"))?, format!("postgresql:{rest}"));
    }
    assert_eq!(
        postgres("postgresql:///chat?host=/var/run/postgresql")?,
        "postgresql:///chat?host=/var/run/postgresql"
    );
    Ok(())
}

#[test]
fn asyncpg_options_are_translated_to_libpq() -> TestResult {
    assert_eq!(postgres("postgresql+asyncpg://h/d?ssl=require&a=b")?, "postgresql://h/d?sslmode=require&a=b");
    assert_eq!(postgres("postgresql://h/d?ssl=require")?, "postgresql://h/d?ssl=require");
    Ok(())
}

#[test]
fn invalid_postgres_urls_are_rejected() {
    for (text, expected) in [
        ("postgres:h/d", "no //"),
        ("postgres:///d", "names no host"),
        ("postgres://u:p/w@h/d", "%2F"),
        ("postgres://u:1#w@h/d", "%23"),
        ("postgres://u:1?w@h/d", "%3F"),
        ("mysql://u:p@h/d", "unknown scheme"),
        ("postgresql+pg8000://u:p@h/d", "unknown scheme"),
        ("chat.db", "not a URL"),
        ("\"sqlite://chat.db\"", "quotes"),
    ] {
        let problem = postgres(text).err().unwrap_or_default();
        assert!(problem.contains(expected), "{text}: {problem:?}");
    }
}

#[test]
fn redacted_url_has_no_user_password_or_options() -> TestResult {
    let redacted = |text: &str| DatabaseUrl::parse(text).map(|url| url.redacted());
    assert_eq!(redacted("sqlite:chat.db")?, "sqlite://chat.db");
    assert_eq!(
        redacted("postgres://ada:s3cret@db.example:5432/chat?sslpassword=x")?,
        "postgresql://••••@db.example:5432/chat?••••"
    );
    assert_eq!(redacted("postgres://[::1]:5432/chat")?, "postgresql://[::1]:5432/chat");
    Ok(())
}
