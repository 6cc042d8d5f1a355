//! The database URL in all its spellings.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::settings::redact;

/// The database that stores the conversations. `Debug` does not show the PostgreSQL URL.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite {
        /// Relative to the working folder or absolute. The file need not exist, but its folder
        /// existed at startup.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// A `postgresql://` URL in the form `libpq` understands.
        url: SecretString,
    },
}

impl DatabaseUrl {
    /// Parses any accepted spelling. Errors contain no secret.
    pub(in crate::settings) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(['"', '\'']) {
            return Err("is enclosed in quotes".to_owned());
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("is not a URL".to_owned());
        };
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => sqlite_file(rest.strip_prefix("//").unwrap_or(rest)),
            "sqlite+aiosqlite" => sqlalchemy_file(rest),
            "postgres" | "postgresql" | "postgresql+psycopg" | "postgresql+psycopg2" => postgres(rest, false),
            "postgresql+asyncpg" => postgres(rest, true),
            _ => Err("has an unknown scheme".to_owned()),
        }
    }

    /// Formats the URL for display, without user, password and options.
    #[must_use]
    pub fn redacted(&self) -> String {
        match self {
            Self::Sqlite { path } => format!("sqlite://{}", path.display()),
            Self::Postgres { url } => {
                redact::url(url.expose_secret()).unwrap_or_else(|| format!("postgresql://{}", redact::DOTS))
            }
        }
    }

    /// Returns a warning if the URL is probably a mistake; it completes a sentence that begins with
    /// the setting's name.
    pub(in crate::settings) fn warning(&self) -> Option<String> {
        match self {
            Self::Sqlite { path } if is_in_root(path) => Some(format!(
                "is {}, in the root folder; for a file in the working folder write sqlite:// and \
                 its name with no third slash",
                path.display()
            )),
            _ => None,
        }
    }
}

/// SQLAlchemy treats `sqlite:///./file.db` and `sqlite:///file.db` as relative, other programs as
/// absolute.
fn is_in_root(path: &Path) -> bool {
    let is_direct = path.parent() == Some(Path::new("/"));
    is_direct || path.to_str().is_some_and(|path| path.starts_with("/./"))
}

/// In SQLAlchemy's URLs the third slash ends the host, which is always empty.
fn sqlalchemy_file(rest: &str) -> Result<DatabaseUrl, String> {
    match rest.strip_prefix("///") {
        Some(file) => sqlite_file(file),
        None if rest == "//" => sqlite_file(""),
        None => Err("has no third slash: sqlite+aiosqlite:///file.db is relative, \
             sqlite+aiosqlite:////folder/file.db absolute"
            .to_owned()),
    }
}

fn sqlite_file(file: &str) -> Result<DatabaseUrl, String> {
    let name = file.split('?').next().unwrap_or_default();
    let is_in_memory = file.contains("mode=memory") || name.ends_with(":memory:");
    if is_in_memory {
        return Err("is a database in memory: nothing would be kept, and each connection would have \
             its own database"
            .to_owned());
    }
    if name.is_empty() {
        return Err("names no file".to_owned());
    }
    if name.len() < file.len() {
        return Err("has options after a `?`, which are not supported for SQLite".to_owned());
    }
    if name.starts_with("file:") {
        return Err("contains a file: URI; use the path alone".to_owned());
    }
    if name.ends_with('/') {
        return Err("names a folder, not a file".to_owned());
    }
    let path = PathBuf::from(name);
    if path.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if folder.is_dir() {
        Ok(DatabaseUrl::Sqlite { path })
    } else if folder.exists() {
        Err("is inside something that is not a folder".to_owned())
    } else {
        Err("is in a folder that does not exist".to_owned())
    }
}

/// Parses the part after `postgresql:`. Only the scheme of the URL is changed.
fn postgres(rest: &str, is_asyncpg: bool) -> Result<DatabaseUrl, String> {
    let text = format!("postgresql:{rest}");
    if !rest.starts_with("//") {
        return Err("has no // after the scheme".to_owned());
    }
    let url = Url::parse(&text).map_err(|_| {
        "is not a URL; write the characters : / ? # @ % in a password as %3A %2F %3F %23 %40 %25".to_owned()
    })?;
    if url.fragment().is_some() {
        return Err("has a `#`, which in a password is written %23".to_owned());
    }
    let names_host = url.host_str().is_some_and(|host| !host.is_empty())
        || url.query_pairs().any(|(key, _)| key == "host");
    if !names_host {
        return Err("names no host".to_owned());
    }
    if url.query().is_some_and(|options| options.contains('@')) {
        return Err("has an `@` after a `?`; in a password they are written %40 and %3F".to_owned());
    }
    let url = match text.split_once('?') {
        Some((place, options)) if is_asyncpg => format!("{place}?{}", libpq_options(options)),
        _ => text,
    };
    Ok(DatabaseUrl::Postgres { url: SecretString::from(url) })
}

/// Renames the option `ssl` of asyncpg to `sslmode`, its name in every other client.
fn libpq_options(options: &str) -> String {
    let renamed: Vec<String> = options
        .split('&')
        .map(|option| match option.strip_prefix("ssl=") {
            Some(mode) => format!("sslmode={mode}"),
            None => option.to_owned(),
        })
        .collect();
    renamed.join("&")
}
