//! Bringing a database to the schema this binary needs.

use diesel::ConnectionError;
use diesel::migration::MigrationSource;
use diesel::sqlite::Sqlite;
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::persistence::db::{postgres, sqlite};
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

impl MigrationError {
    fn because(error: impl std::fmt::Display) -> Self {
        Self::Migrate(error.to_string())
    }
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

/// Connects and looks what is missing. Changes nothing, but that the table of migrations is made where it is missing; an
/// SQLite file that is not there is not made. Needs a multi-threaded runtime, like [`migrate`].
///
/// # Errors
/// [`MigrationError`].
pub async fn inspect(url: &DatabaseUrl) -> Result<Inspected, MigrationError> {
    match url {
        DatabaseUrl::Sqlite { path } if !path.exists() => {
            let all = MigrationSource::<Sqlite>::migrations(&SQLITE).map_err(MigrationError::because)?;
            Ok(Inspected { pending: all.len() })
        }
        DatabaseUrl::Sqlite { path } => pending(&mut sqlite::open(&path.to_string_lossy())?, SQLITE),
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
            let mut connection = sqlite::open(&path.to_string_lossy())?;
            apply(&mut connection, SQLITE)
        }
        DatabaseUrl::Postgres { url } => {
            let mut connection = postgres::open(url.expose_secret()).await?;
            connection.batch_execute(ADVISORY_LOCK).await.map_err(MigrationError::because)?;
            // The lock is the connection's and ends with it.
            apply(&mut AsyncMigrationHarness::new(connection), POSTGRES)
        }
    }
}

fn apply<H, B>(harness: &mut H, migrations: EmbeddedMigrations) -> Result<Migrated, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let applied = harness.run_pending_migrations(migrations).map_err(MigrationError::because)?;
    Ok(Migrated { applied: applied.iter().map(ToString::to_string).collect() })
}

fn pending<H, B>(harness: &mut H, migrations: EmbeddedMigrations) -> Result<Inspected, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let pending = harness.pending_migrations(migrations).map_err(MigrationError::because)?;
    Ok(Inspected { pending: pending.len() })
}
