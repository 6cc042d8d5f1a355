//! Migrations: bring a database to the schema of this version, and refuse a database with an
//! unknown schema.

use std::collections::HashSet;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel::{ConnectionError, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::persistence::db::{postgres, sqlite};
use crate::settings::DatabaseUrl;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Held while migrating, so that instances that start at the same time migrate one after another.
/// The number is arbitrary, but must not be used for another purpose.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_lock(7229311560923117)";

/// The tables of the current schema. Other tables may exist as well, because a database may be
/// shared with other programs.
const TABLES: [&str; 7] =
    ["address_budgets", "daily_budgets", "feedback", "messages", "pending_costs", "sessions", "turns"];

/// The names of all tables of an SQLite database.
const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";

/// The names of all tables in the schema in which a connection to PostgreSQL creates tables.
const POSTGRES_TABLES: &str = "SELECT relname::text AS name FROM pg_class \
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname";

/// The database could not be brought to the schema of this version.
#[derive(Debug, Error)]
pub enum MigrationError {
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] ConnectionError),
    /// A query or a migration failed; the database is as before.
    #[error("a migration failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database has a migration that is unknown to this version.
    #[error(
        "the database has the schema of another version of resume-chatbot (its migration {0} is unknown); \
         set DATABASE_URL to a new database, or run the version that created this one"
    )]
    UnknownSchema(String),
    /// The database has tables with names of this program, but no migration created them.
    #[error("another program uses the tables {0} of the database; set DATABASE_URL to a new database")]
    ForeignTables(String),
}

impl From<diesel::result::Error> for MigrationError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The result of a migration.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The versions that were applied, in order. Empty if the database was up to date.
    pub applied: Vec<String>,
}

/// The state of a database.
#[derive(Clone, Copy, Debug)]
pub struct Inspected {
    /// The number of migrations that are not applied yet.
    pub pending: usize,
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Connects and counts the pending migrations. Creates nothing except the table of migrations.
/// Requires a multi-threaded runtime, as [`migrate`] does.
///
/// # Errors
/// [`MigrationError`].
pub async fn inspect(url: &DatabaseUrl) -> Result<Inspected, MigrationError> {
    match url {
        DatabaseUrl::Sqlite { path } if !path.exists() => {
            let all = MigrationSource::<Sqlite>::migrations(&SQLITE).map_err(MigrationError::Failed)?;
            Ok(Inspected { pending: all.len() })
        }
        DatabaseUrl::Sqlite { path } => {
            let mut connection = sqlite::open(&path.to_string_lossy())?;
            let tables = sqlite_tables(&mut connection)?;
            pending(&mut connection, SQLITE, &tables)
        }
        DatabaseUrl::Postgres { url } => {
            let mut connection = postgres::open(url.expose_secret()).await?;
            let tables = postgres_tables(&mut connection).await?;
            pending(&mut AsyncMigrationHarness::new(connection), POSTGRES, &tables)
        }
    }
}

/// Applies the pending migrations. Requires a multi-threaded runtime, because the library blocks
/// its thread; must be called before any actor starts.
///
/// # Errors
/// [`MigrationError`].
pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, MigrationError> {
    match url {
        DatabaseUrl::Sqlite { path } => {
            let mut connection = sqlite::open(&path.to_string_lossy())?;
            let tables = sqlite_tables(&mut connection)?;
            apply(&mut connection, SQLITE, &tables)
        }
        DatabaseUrl::Postgres { url } => {
            let mut connection = postgres::open(url.expose_secret()).await?;
            // The lock is released when the connection closes.
            connection.batch_execute(ADVISORY_LOCK).await?;
            let tables = postgres_tables(&mut connection).await?;
            apply(&mut AsyncMigrationHarness::new(connection), POSTGRES, &tables)
        }
    }
}

fn sqlite_tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, MigrationError> {
    Ok(sql_query(SQLITE_TABLES).load(connection)?)
}

async fn postgres_tables(connection: &mut AsyncPgConnection) -> Result<Vec<Table>, MigrationError> {
    Ok(diesel_async::RunQueryDsl::load(sql_query(POSTGRES_TABLES), connection).await?)
}

fn apply<H, B>(
    harness: &mut H,
    migrations: EmbeddedMigrations,
    tables: &[Table],
) -> Result<Migrated, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    check_origin(harness, &migrations, tables)?;
    let applied = harness.run_pending_migrations(migrations).map_err(MigrationError::Failed)?;
    Ok(Migrated { applied: applied.iter().map(ToString::to_string).collect() })
}

fn pending<H, B>(
    harness: &mut H,
    migrations: EmbeddedMigrations,
    tables: &[Table],
) -> Result<Inspected, MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    check_origin(harness, &migrations, tables)?;
    let pending = harness.pending_migrations(migrations).map_err(MigrationError::Failed)?;
    Ok(Inspected { pending: pending.len() })
}

/// Refuses a database with unknown migrations, and one whose tables another program created. The
/// tables must have been read before: if another instance migrates meanwhile, its migrations are
/// found here.
fn check_origin<H, B>(
    harness: &mut H,
    migrations: &EmbeddedMigrations,
    tables: &[Table],
) -> Result<(), MigrationError>
where
    H: MigrationHarness<B>,
    B: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<B>,
{
    let all = MigrationSource::<B>::migrations(migrations).map_err(MigrationError::Failed)?;
    let known: HashSet<MigrationVersion<'static>> =
        all.iter().map(|migration| migration.name().version().as_owned()).collect();
    let applied = harness.applied_migrations().map_err(MigrationError::Failed)?;
    if let Some(unknown) = applied.iter().find(|version| !known.contains(version)) {
        return Err(MigrationError::UnknownSchema(unknown.to_string()));
    }
    let conflicts: Vec<&str> =
        tables.iter().map(|table| table.name.as_str()).filter(|name| TABLES.contains(name)).collect();
    if applied.is_empty() && !conflicts.is_empty() {
        return Err(MigrationError::ForeignTables(conflicts.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_migrations_create_exactly_the_listed_tables() {
        for sql in [
            include_str!("../../../migrations/sqlite/2026-11-28-000001_initial/up.sql"),
            include_str!("../../../migrations/postgres/2026-11-28-000001_initial/up.sql"),
        ] {
            let created = sql.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
            let mut created: Vec<&str> = created.filter_map(|rest| rest.split(' ').next()).collect();
            created.sort_unstable();
            assert_eq!(created, TABLES);
        }
    }
}
