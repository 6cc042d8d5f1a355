//! Empty databases for tests: an SQLite file, or a new database on the PostgreSQL of `tests/run`.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{process, thread};

use tempfile::TempDir;

use crate::support::stores::sql::run_on_postgres;

/// Defines a test for each store: `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_stores {
    ($($(#[$attribute:meta])* async fn $name:ident($store:ident: FreshStore) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a scenario may use only the store")]
            use super::*;

            async fn scenario($store: $crate::support::stores::fresh_store::FreshStore) $body

            #[tokio::test]
            async fn sqlite() {
                let name = concat!(module_path!(), "::sqlite");
                if let Some(store) = $crate::support::stores::fresh_store::StoreKind::Sqlite.create_for(name).await {
                    scenario(store).await;
                }
            }

            #[tokio::test]
            async fn postgres() {
                let name = concat!(module_path!(), "::postgres");
                if let Some(store) = $crate::support::stores::fresh_store::StoreKind::Postgres.create_for(name).await {
                    scenario(store).await;
                }
            }
        }
    )+};
}

/// The kinds of store that the server supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// An SQLite file.
    Sqlite,
    /// A database on a PostgreSQL server.
    Postgres,
}

/// A new, empty database. It is deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct FreshStore {
    kind: StoreKind,
    url: String,
    /// The directory of an SQLite file.
    _directory: Option<TempDir>,
    /// PostgreSQL: the URL of the administrative database, and the name of this one.
    admin: Option<(String, String)>,
}

impl StoreKind {
    /// Creates a store for the named test. Without a PostgreSQL server it prints a message and
    /// returns `None`, or fails if `CI` is set.
    pub(crate) async fn create_for(self, test: &str) -> Option<FreshStore> {
        if self == Self::Postgres && setting("TEST_DATABASE_URL").is_none() {
            let message = format!(
                "{test}: PostgreSQL was NOT covered, because TEST_DATABASE_URL is not set; `tests/run` starts a \
                 PostgreSQL and sets it"
            );
            record("uncovered", test);
            assert!(setting("CI").is_none(), "{message}");
            // The test harness captures `eprintln!` and hides it when the test passes.
            let _ = writeln!(std::io::stderr(), "{message}");
            return None;
        }
        record(if self == Self::Postgres { "postgres" } else { "sqlite" }, test);
        Some(self.create().await)
    }

    /// Creates an empty database.
    pub(crate) async fn create(self) -> FreshStore {
        match self {
            Self::Sqlite => {
                let directory = tempfile::tempdir();
                let directory = directory.unwrap_or_else(|error| panic!("no directory for SQLite: {error}"));
                let url = format!("sqlite://{}", directory.path().join("chat.db").display());
                FreshStore { kind: self, url, _directory: Some(directory), admin: None }
            }
            Self::Postgres => {
                let Some(admin) = setting("TEST_DATABASE_URL") else {
                    panic!("TEST_DATABASE_URL is not set")
                };
                let name = unique_name();
                run_on_postgres(&admin, &format!("CREATE DATABASE {name}")).await;
                let url = with_database(&admin, &name);
                FreshStore { kind: self, url, _directory: None, admin: Some((admin, name)) }
            }
        }
    }
}

impl FreshStore {
    /// Returns the value for `DATABASE_URL`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the kind of store.
    pub(crate) fn kind(&self) -> StoreKind {
        self.kind
    }

    /// PostgreSQL: the URL of the administrative database, and the name of this one.
    pub(crate) fn admin(&self) -> Option<&(String, String)> {
        self.admin.as_ref()
    }
}

impl Drop for FreshStore {
    fn drop(&mut self) {
        let Some((admin, name)) = self.admin.take() else { return };
        // `drop` cannot await, so a new thread runs the statement on a runtime of its own.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            runtime.map(|runtime| runtime.block_on(run_on_postgres(&admin, &drop))).is_ok()
        });
        // A failure leaves one database behind on a temporary server, which does no harm.
        let _ = dropping.join();
    }
}

/// Returns a database name that is unique even if several test runs share a server.
fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let random = RandomState::new().build_hasher().finish();
    format!("chat_test_{}_{}_{random:x}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Replaces the database in a URL of the form `postgres://user@host:port/name?options`.
fn with_database(url: &str, name: &str) -> String {
    let (server, options) = match url.split_once('?') {
        Some((server, options)) => (server, format!("?{options}")),
        None => (url, String::new()),
    };
    let authority = server.find("://").map_or(0, |scheme| scheme + 3);
    let end =
        server.get(authority..).and_then(|rest| rest.find('/')).map_or(server.len(), |path| authority + path);
    format!("{}/{name}{options}", server.get(..end).unwrap_or(server))
}

/// Records for `tests/run` which stores were covered.
fn record(store: &str, test: &str) {
    let Some(path) = setting("TEST_STORES_LOG") else { return };
    let log = OpenOptions::new().append(true).create(true).open(path);
    // A single write, so that lines of parallel tests do not interleave.
    let _ = log.and_then(|mut log| log.write_all(format!("{store} {test}\n").as_bytes()));
}

/// Reads an environment variable. An empty value counts as unset.
fn setting(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}
