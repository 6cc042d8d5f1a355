//! Migrations: brings a database to the schema of this version, and refuses databases it does not
//! know.

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

/// The tables of an SQLite database, except its own and those of the migrations.
const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '__diesel_schema_migrations' ORDER BY name";

/// The tables in the schema that a connection to PostgreSQL creates tables in, except those of
/// extensions and of the migrations.
const POSTGRES_TABLES: &str = "SELECT relname::text AS name FROM pg_class \
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') \
     AND relname <> '__diesel_schema_migrations' \
     AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass \
         AND objid = pg_class.oid AND deptype = 'e') \
     ORDER BY relname";

/// The number of tables that an error names.
const MAX_NAMED_TABLES: usize = 5;

/// The database could not be brought to the schema of this version.
#[derive(Debug, Error)]
pub enum MigrationError {
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] ConnectionError),
    /// A query or a migration failed; the database is as before.
    #[error("a migration failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database has a migration that this version does not know.
    #[error(
        "the database has the schema of another version of resume-chatbot (its migration {0} is unknown); \
         set DATABASE_URL to a new database, or run the version that created this one"
    )]
    UnknownSchema(String),
    /// The database has tables, but no migration of this program was applied.
    #[error(
        "the database belongs to another program (it has the tables {0}); set DATABASE_URL to a new database"
    )]
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

/// Refuses a database with unknown migrations, and one with tables but without migrations. The
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
    if applied.is_empty() && !tables.is_empty() {
        let names: Vec<&str> =
            tables.iter().take(MAX_NAMED_TABLES).map(|table| table.name.as_str()).collect();
        let more = if tables.len() > MAX_NAMED_TABLES { " and others" } else { "" };
        return Err(MigrationError::ForeignTables(format!("{}{more}", names.join(", "))));
    }
    Ok(())
}
