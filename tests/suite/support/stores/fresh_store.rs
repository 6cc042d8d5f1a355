//! Fresh, real databases for tests: a file for SQLite, a database of its own on the PostgreSQL that `tests/run` starts.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::support::stores::sql::on_postgres;

/// Runs a test on SQLite and on PostgreSQL, as two tests, `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_stores {
    ($($(#[$attribute:meta])* async fn $name:ident($store:ident: FreshStore) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a scenario may do with the store alone")]
            use super::*;

            async fn scenario($store: $crate::support::stores::fresh_store::FreshStore) $body

            #[tokio::test]
            async fn sqlite() {
                let name = concat!(module_path!(), "::sqlite");
                if let Some(store) = $crate::support::stores::fresh_store::Store::Sqlite.fresh_for(name).await {
                    scenario(store).await;
                }
            }

            #[tokio::test]
            async fn postgres() {
                let name = concat!(module_path!(), "::postgres");
                if let Some(store) = $crate::support::stores::fresh_store::Store::Postgres.fresh_for(name).await {
                    scenario(store).await;
                }
            }
        }
    )+};
}

/// The kinds of store that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file.
    Sqlite,
    /// A server of its own.
    Postgres,
}

/// An empty database, gone when dropped.
#[derive(Debug)]
pub(crate) struct FreshStore {
    store: Store,
    url: String,
    /// SQLite: holds the file.
    _directory: Option<TempDir>,
    /// PostgreSQL: where to administer the database from, and its name.
    admin: Option<(String, String)>,
}

impl Store {
    /// A store for the named test, or `None` when there is no PostgreSQL to test on, which is said aloud, and is a
    /// failure where `CI` is set.
    pub(crate) async fn fresh_for(self, test: &str) -> Option<FreshStore> {
        if self == Self::Postgres && setting("TEST_DATABASE_URL").is_none() {
            let message = format!(
                "{test}: PostgreSQL was NOT covered, because TEST_DATABASE_URL is not set; `tests/run` starts a \
                 PostgreSQL and sets it"
            );
            record("uncovered", test);
            assert!(setting("CI").is_none(), "{message}");
            // Not by `eprintln!`, which the test harness keeps to itself when a test passes.
            let _ = writeln!(std::io::stderr(), "{message}");
            return None;
        }
        record(if self == Self::Postgres { "postgres" } else { "sqlite" }, test);
        Some(self.fresh().await)
    }

    /// An empty database.
    pub(crate) async fn fresh(self) -> FreshStore {
        match self {
            Self::Sqlite => {
                let directory = tempfile::tempdir();
                let directory = directory.unwrap_or_else(|error| panic!("no directory for SQLite: {error}"));
                let url = format!("sqlite://{}", directory.path().join("chat.db").display());
                FreshStore { store: self, url, _directory: Some(directory), admin: None }
            }
            Self::Postgres => {
                let Some(admin) = setting("TEST_DATABASE_URL") else {
                    panic!("TEST_DATABASE_URL is not set")
                };
                let name = unique_name();
                on_postgres(&admin, &format!("CREATE DATABASE {name}")).await;
                let url = with_database(&admin, &name);
                FreshStore { store: self, url, _directory: None, admin: Some((admin, name)) }
            }
        }
    }
}

impl FreshStore {
    /// What `DATABASE_URL` is set to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Which one it is.
    pub(crate) fn store(&self) -> Store {
        self.store
    }

    /// PostgreSQL: where to administer the database from, and its name.
    pub(crate) fn admin(&self) -> Option<&(String, String)> {
        self.admin.as_ref()
    }
}

impl Drop for FreshStore {
    fn drop(&mut self) {
        let Some((admin, name)) = self.admin.take() else { return };
        // `drop` cannot await, and the test's runtime is busy dropping.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            runtime.map(|runtime| runtime.block_on(on_postgres(&admin, &drop))).is_ok()
        });
        // Left behind, it is one empty database on a server that is thrown away; the test's own failure counts.
        let _ = dropping.join();
    }
}

/// Unique on a server that several runs may share.
fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let random = RandomState::new().build_hasher().finish();
    format!("chat_test_{}_{}_{random:x}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// `url` with another database: `postgres://user@host:port/name?options`.
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

/// Tells `tests/run` what was covered.
fn record(store: &str, test: &str) {
    let Some(path) = setting("TEST_STORES_LOG") else { return };
    let log = OpenOptions::new().append(true).create(true).open(path);
    // One write, so that tests do not interleave. A report that is missing is seen in the count.
    let _ = log.and_then(|mut log| log.write_all(format!("{store} {test}\n").as_bytes()));
}

/// A variable of the environment; empty means unset.
fn setting(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}
