//! Bringing a database to the schema this binary needs.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use diesel::migration::MigrationSource;
use diesel::{Connection, ConnectionError, SqliteConnection};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::ExposeSecret;
use thiserror::Error;

use super::postgres;
use crate::settings::DatabaseUrl;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Held while migrating, so that two servers that start at once do not both try. Any number nobody else uses.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_lock(7229311560923117)";

/// The database could not be brought to the schema.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// No connection.
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] ConnectionError),
    /// A migration failed; the database is as before it.
    #[error("a migration failed: {0}")]
    Migrate(String),
}

/// What was done.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The versions that were applied now, in order. Empty when the database was up to date.
    pub applied: Vec<String>,
}

/// What a look at a database found.
#[derive(Clone, Copy, Debug)]
pub struct Inspected {
    /// Migrations that are not applied yet.
    pub pending: usize,
}

/// Connects and looks what is missing, without changing anything but creating an SQLite file that is not there. Needs a
/// multi-threaded runtime, like [`migrate`].
///
/// # Errors
/// [`MigrationError`].
pub async fn inspect(url: &DatabaseUrl) -> Result<Inspected, MigrationError> {
    match url {
        DatabaseUrl::Sqlite { path } => {
            pending(&mut SqliteConnection::establish(&path.to_string_lossy())?, SQLITE)
        }
        DatabaseUrl::Postgres { url } => {
            let connection = postgres::open(url.expose_secret()).await?;
            pending(&mut AsyncMigrationHarness::new(connection), POSTGRES)
        }
    }
}

/// Applies what is missing. Needs a multi-threaded runtime: the library blocks in place. Call it before any actor.
///
/// # Errors
/// [`MigrationError`].
pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, MigrationError> {
    match url {
        DatabaseUrl::Sqlite { path } => {
            create_private(path)?;
            let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
            diesel::connection::SimpleConnection::batch_execute(
                &mut connection,
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;",
            )
            .map_err(|error| MigrationError::Migrate(error.to_string()))?;
            apply(&mut connection, SQLITE)
        }
        DatabaseUrl::Postgres { url } => {
            let mut connection = postgres::open(url.expose_secret()).await?;
            connection
                .batch_execute(ADVISORY_LOCK)
                .await
                .map_err(|error| MigrationError::Migrate(error.to_string()))?;
            // The lock is the connection's and ends with it.
            apply(&mut AsyncMigrationHarness::new(connection), POSTGRES)
        }
    }
}

/// Creates the file, if it is not there, for the eyes of its owner only: it will hold what visitors said. SQLite gives
/// the files beside it the same permissions.
fn create_private(path: &Path) -> Result<(), MigrationError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(ConnectionError::BadConnection(error.to_string()).into())
        }
        _ => Ok(()),
    }
}

fn apply<H, B>(harness: &mut H, migrations: EmbeddedMigrations) -> Result<Migrated, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let applied = harness
        .run_pending_migrations(migrations)
        .map_err(|error| MigrationError::Migrate(error.to_string()))?;
    Ok(Migrated { applied: applied.iter().map(ToString::to_string).collect() })
}

fn pending<H, B>(harness: &mut H, migrations: EmbeddedMigrations) -> Result<Inspected, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let pending =
        harness.pending_migrations(migrations).map_err(|error| MigrationError::Migrate(error.to_string()))?;
    Ok(Inspected { pending: pending.len() })
}
