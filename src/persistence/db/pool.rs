//! A connection pool for either database, so that each query is written only once.
//!
//! A query is an expression that works on the connections of both databases;
//! [`run_statement!`](run_statement) compiles it for each. An operation is one or more queries. On
//! PostgreSQL it is awaited in place. On SQLite the whole operation runs on a blocking thread,
//! because changing the thread for every query would cost more than most queries.

use std::sync::Arc;
use std::time::Duration;

use bb8::{PooledConnection, RunError};
use diesel::result::Error as DieselError;
use diesel::{ConnectionError, ConnectionResult, SqliteConnection};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use crate::domain::component::Component;
use crate::persistence::db::postgres_conn::{PgConnManager, RESPONSE_TIMEOUT, STATEMENT_TIMEOUT};
use crate::persistence::db::{postgres, sqlite};
use crate::persistence::error::{Cause, StorageError};
use crate::persistence::timeouts::STORE_TIMEOUT;
use crate::settings::{DatabaseSettings, DatabaseUrl};
use crate::system::panics::{catch_panic, catch_panic_sync};

/// The timeout for opening a connection or waiting for a free one.
const CHECKOUT_TIMEOUT: Duration = STORE_TIMEOUT;

/// The messages of SQLite when it cannot write its file although it may still read it: another
/// process holds a lock, or the disk is full, read-only or gone. Diesel reports these errors with
/// the kind `Unknown` and without the error code of SQLite, so only the text distinguishes them.
const SQLITE_OUTAGE_MESSAGES: [&str; 5] = [
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "unable to open database file",
];

/// An SQLite connection whose queries block the calling thread.
pub(crate) type SqliteConn = SyncConnectionWrapper<SqliteConnection, RunInline>;

type Manager<C> = AsyncDieselConnectionManager<C>;

/// Runs blocking tasks on the calling thread, which is a blocking thread already.
pub(crate) struct RunInline;

impl SpawnBlocking for RunInline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        std::future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// The connection pool of either database. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(bb8::Pool<Manager<SqliteConn>>),
    Postgres(bb8::Pool<PgConnManager>),
}

/// A connection of the pool, which returns to it when dropped.
pub(crate) enum Connection {
    Sqlite(PooledConnection<'static, Manager<SqliteConn>>),
    Postgres(Box<PooledConnection<'static, PgConnManager>>),
}

/// The number of connections of a pool.
pub(crate) struct PoolState {
    pub(crate) open: u32,
    /// The open connections that are not in use.
    pub(crate) idle: u32,
}

/// Runs one statement on the connection of either database.
macro_rules! run_statement {
    ($connection:expr, $conn:ident => $query:expr) => {
        match $connection {
            $crate::persistence::db::pool::Connection::Sqlite(pooled) => {
                let $conn = &mut **pooled;
                $query
            }
            $crate::persistence::db::pool::Connection::Postgres(pooled) => {
                $crate::persistence::db::postgres_conn::run_pg_statement!(pooled, $conn => $query)
            }
        }
    };
}
pub(crate) use run_statement;

impl Pool {
    /// Creates a pool that opens connections when they are needed, on the runtime of the caller.
    pub(crate) fn new(settings: &DatabaseSettings) -> Self {
        match &settings.url {
            DatabaseUrl::Sqlite { path } => {
                let mut config = ManagerConfig::default();
                // A file does not disconnect, and a check would cost as much as a query.
                config.recycling_method = RecyclingMethod::Fast;
                config.custom_setup = Box::new(|path| open_sqlite(path).boxed());
                let manager = Manager::new_with_config(path.to_string_lossy(), config);
                Self::Sqlite(builder(settings).test_on_check_out(false).build_unchecked(manager))
            }
            DatabaseUrl::Postgres { url } => {
                let mut config = ManagerConfig::default();
                config.custom_setup = Box::new(|url| open_postgres(url).boxed());
                let manager = Manager::new_with_config(url.expose_secret(), config);
                Self::Postgres(builder(settings).build_unchecked(PgConnManager::new(manager)))
            }
        }
    }

    pub(crate) fn state(&self) -> PoolState {
        let state = match self {
            Self::Sqlite(pool) => pool.state(),
            Self::Postgres(pool) => pool.state(),
        };
        PoolState { open: state.connections, idle: state.idle_connections }
    }

    /// Runs a read-only operation. On PostgreSQL a failed one is retried once, because a connection
    /// that was just closed is detected only when it is used, and does not mean that the database
    /// is unavailable.
    pub(crate) async fn read<R, F>(&self, operation: F) -> Result<R, StorageError>
    where
        F: AsyncFn(&mut Connection) -> Result<R, DieselError> + Send + Sync + 'static,
        R: Send + 'static,
    {
        let operation = Arc::new(operation);
        let attempt = async |connection| {
            let operation = Arc::clone(&operation);
            run_on(connection, async move |connection: &mut Connection| operation(connection).await).await
        };
        match attempt(self.check_out().await?).await {
            Err(StorageError::Unavailable(_) | StorageError::Ambiguous(_))
                if matches!(self, Self::Postgres(_)) =>
            {
                attempt(self.check_out().await?).await
            }
            result => result,
        }
    }

    /// Runs one operation. Once started it should not be dropped, so call this from a task that is
    /// not cancelled. If the operation fails or panics, its connection to PostgreSQL is discarded
    /// together with its transaction.
    pub(crate) async fn run<R, F>(&self, operation: F) -> Result<R, StorageError>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<R, DieselError> + Send + 'static,
        R: Send + 'static,
    {
        run_on(self.check_out().await?, operation).await
    }

    async fn check_out(&self) -> Result<Connection, StorageError> {
        match self {
            Self::Sqlite(pool) => pool.get_owned().await.map(Connection::Sqlite),
            Self::Postgres(pool) => {
                pool.get_owned().await.map(|connection| Connection::Postgres(Box::new(connection)))
            }
        }
        .map_err(|error| StorageError::Unavailable(checkout_cause(error)))
    }
}

async fn run_on<R, F>(mut connection: Connection, operation: F) -> Result<R, StorageError>
where
    F: AsyncFnOnce(&mut Connection) -> Result<R, DieselError> + Send + 'static,
    R: Send + 'static,
{
    let result = match connection {
        Connection::Sqlite(_) => {
            let runtime = Handle::current();
            let blocking = tokio::task::spawn_blocking(move || {
                catch_panic_sync(Component::Persistence, move || runtime.block_on(operation(&mut connection)))
            });
            blocking.await.map_err(|error| StorageError::Unavailable(Cause::new(error)))?
        }
        Connection::Postgres(_) => {
            let result = catch_panic(Component::Persistence, operation(&mut connection)).await;
            if let (Connection::Postgres(pooled), false) = (&mut connection, matches!(result, Ok(Ok(_)))) {
                pooled.mark_suspect();
            }
            result
        }
    };
    result.map_err(StorageError::Panicked)?.map_err(classify)
}

impl Connection {
    pub(crate) async fn begin_transaction(&mut self) -> Result<(), DieselError> {
        run_statement!(self, conn => begin_transaction(conn).await)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), DieselError> {
        run_statement!(self, conn => commit(conn).await)
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), DieselError> {
        run_statement!(self, conn => roll_back(conn).await)
    }
}

async fn begin_transaction<C: AsyncConnection>(connection: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::begin_transaction(connection).await
}

async fn commit<C: AsyncConnection>(connection: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::commit_transaction(connection).await
}

async fn roll_back<C: AsyncConnection>(connection: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::rollback_transaction(connection).await
}

fn builder<M: bb8::ManageConnection>(settings: &DatabaseSettings) -> bb8::Builder<M> {
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(CHECKOUT_TIMEOUT)
        // Callers receive the error immediately and decide about a retry.
        .retry_connection(false)
}

/// Opens a file on the calling thread, which takes well under a millisecond.
async fn open_sqlite(path: &str) -> ConnectionResult<SqliteConn> {
    Ok(SqliteConn::new(sqlite::open(path)?))
}

async fn open_postgres(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut connection = postgres::open(url).await?;
    // Overrides the defaults of the database and the role. A blocked statement can then be
    // recognized by its duration, and the transaction of a lost connection does not keep its locks
    // until TCP detects the loss.
    let setup = format!(
        "SET statement_timeout = {}; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = {}; \
         SET application_name = 'resume-chatbot'",
        STATEMENT_TIMEOUT.as_millis(),
        RESPONSE_TIMEOUT.as_millis(),
    );
    connection.batch_execute(&setup).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Unwraps the error of the pool, whose layers add nothing to the text.
fn checkout_cause(error: RunError<PoolError>) -> Cause {
    match error {
        RunError::User(PoolError::ConnectionError(error)) => Cause::new(error),
        RunError::User(PoolError::QueryError(error)) => Cause::new(error),
        RunError::TimedOut => Cause::new(RunError::<PoolError>::TimedOut),
    }
}

/// Classifies an error: outage, rejected data, or unknown.
fn classify(error: DieselError) -> StorageError {
    use diesel::result::DatabaseErrorKind as Kind;
    let variant = match &error {
        DieselError::DatabaseError(
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation,
            _,
        )
        | DieselError::InvalidCString(_)
        | DieselError::QueryBuilderError(_)
        | DieselError::SerializationError(_)
        | DieselError::DeserializationError(_) => StorageError::Rejected,
        DieselError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => {
            StorageError::Unavailable
        }
        DieselError::DatabaseError(_, information)
            if SQLITE_OUTAGE_MESSAGES.contains(&information.message()) =>
        {
            StorageError::Unavailable
        }
        _ => StorageError::Ambiguous,
    };
    variant(Cause::new(error))
}
