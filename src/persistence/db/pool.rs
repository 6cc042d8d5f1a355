//! Connections to either database behind one type, so that a query is written once.
//!
//! A query is an expression that both databases' connections can run; [`on_either!`](on_either) compiles it for each. An
//! operation (one or more queries) on PostgreSQL is awaited where it is; on SQLite the whole operation runs in one hop
//! to a blocking thread, because a hop for every query would cost more than most queries.

use std::sync::Arc;
use std::time::Duration;

use bb8::PooledConnection;
use diesel::result::Error as DieselError;
use diesel::{ConnectionError, ConnectionResult, SqliteConnection};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use crate::domain::component::Component;
use crate::persistence::db::postgres_conn::{LONGEST_SILENCE, LONGEST_STATEMENT, PostgresLinks};
use crate::persistence::db::{postgres, sqlite};
use crate::persistence::{PATIENCE, StorageError};
use crate::settings::{DatabaseSettings, DatabaseUrl};
use crate::supervision::{catch_panic, catch_panic_sync};

/// How long opening a connection or waiting for a free one may take.
const CHECKOUT_TIMEOUT: Duration = PATIENCE;

/// What SQLite says when its file cannot be written, while reading may go on: another process holds it, the disk is
/// full or gone.
const SQLITE_IS_AWAY: [&str; 5] = [
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "unable to open database file",
];

/// An SQLite connection whose queries run on the thread that asks.
pub(crate) type SqliteLink = SyncConnectionWrapper<SqliteConnection, InPlace>;

type Manager<C> = AsyncDieselConnectionManager<C>;

/// Runs a blocking task at once: whoever uses such a connection is on a blocking thread already.
pub(crate) struct InPlace;

impl SpawnBlocking for InPlace {
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

/// The pool of either database. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(bb8::Pool<Manager<SqliteLink>>),
    Postgres(bb8::Pool<PostgresLinks>),
}

/// A connection taken from the pool; it goes back when dropped.
pub(crate) enum Connection {
    Sqlite(PooledConnection<'static, Manager<SqliteLink>>),
    Postgres(Box<PooledConnection<'static, PostgresLinks>>),
}

/// Runs one statement on the connection of whichever database it is.
macro_rules! on_either {
    ($connection:expr, $link:ident => $query:expr) => {
        match $connection {
            $crate::persistence::db::pool::Connection::Sqlite(pooled) => {
                let $link = &mut **pooled;
                $query
            }
            $crate::persistence::db::pool::Connection::Postgres(pooled) => {
                $crate::persistence::db::postgres_conn::heard!(pooled, $link => $query)
            }
        }
    };
}
pub(crate) use on_either;

impl Pool {
    /// A pool that opens its connections when they are first wanted, on the runtime that wants them.
    pub(crate) fn new(settings: &DatabaseSettings) -> Self {
        match &settings.url {
            DatabaseUrl::Sqlite { path } => {
                let mut config = ManagerConfig::default();
                // A file does not go away, and the check would cost as much as the query.
                config.recycling_method = RecyclingMethod::Fast;
                config.custom_setup = Box::new(|path| open_sqlite(path).boxed());
                let manager = Manager::new_with_config(path.to_string_lossy(), config);
                Self::Sqlite(builder(settings).test_on_check_out(false).build_unchecked(manager))
            }
            DatabaseUrl::Postgres { url } => {
                let mut config = ManagerConfig::default();
                config.custom_setup = Box::new(|url| open_postgres(url).boxed());
                let manager = Manager::new_with_config(url.expose_secret(), config);
                Self::Postgres(builder(settings).build_unchecked(PostgresLinks::new(manager)))
            }
        }
    }

    /// Connections that are open, and how many of them nobody uses.
    pub(crate) fn connections(&self) -> (u32, u32) {
        let state = match self {
            Self::Sqlite(pool) => pool.state(),
            Self::Postgres(pool) => pool.state(),
        };
        (state.connections, state.idle_connections)
    }

    /// Runs an operation that only reads. On PostgreSQL once more when it fails: a connection that was closed a moment ago looks as if
    /// it were there, and is no reason to tell anybody that the database is away.
    pub(crate) async fn read<R, F>(&self, operation: F) -> Result<R, StorageError>
    where
        F: AsyncFn(&mut Connection) -> Result<R, DieselError> + Send + Sync + 'static,
        R: Send + 'static,
    {
        let operation = Arc::new(operation);
        let once = async |connection| {
            let operation = Arc::clone(&operation);
            run_on(connection, async move |link: &mut Connection| operation(link).await).await
        };
        match once(self.take().await?).await {
            Err(StorageError::Unavailable(_) | StorageError::Unclear(_))
                if matches!(self, Self::Postgres(_)) =>
            {
                once(self.take().await?).await
            }
            done => done,
        }
    }

    /// Runs one operation on a connection. Once begun it should not be dropped: call this from a task that nobody
    /// cancels. When it fails or panics its connection to PostgreSQL is thrown away with it, whatever had begun there.
    pub(crate) async fn run<R, F>(&self, operation: F) -> Result<R, StorageError>
    where
        F: AsyncFnOnce(&mut Connection) -> Result<R, DieselError> + Send + 'static,
        R: Send + 'static,
    {
        run_on(self.take().await?, operation).await
    }

    async fn take(&self) -> Result<Connection, StorageError> {
        Ok(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.get_owned().await.map_err(unavailable)?),
            Self::Postgres(pool) => {
                Connection::Postgres(Box::new(pool.get_owned().await.map_err(unavailable)?))
            }
        })
    }
}

async fn run_on<R, F>(mut connection: Connection, operation: F) -> Result<R, StorageError>
where
    F: AsyncFnOnce(&mut Connection) -> Result<R, DieselError> + Send + 'static,
    R: Send + 'static,
{
    let done = match connection {
        Connection::Sqlite(_) => {
            let here = Handle::current();
            let hop = tokio::task::spawn_blocking(move || {
                catch_panic_sync(Component::Persistence, move || here.block_on(operation(&mut connection)))
            });
            hop.await.map_err(unavailable)?
        }
        Connection::Postgres(_) => {
            let done = catch_panic(Component::Persistence, operation(&mut connection)).await;
            if let (Connection::Postgres(pooled), false) = (&mut connection, matches!(done, Ok(Ok(_)))) {
                pooled.fail();
            }
            done
        }
    };
    done.map_err(StorageError::Panicked)?.map_err(|error| classify(&error))
}

impl Connection {
    pub(crate) async fn begin(&mut self) -> Result<(), DieselError> {
        on_either!(self, link => begin(link).await)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), DieselError> {
        on_either!(self, link => commit(link).await)
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), DieselError> {
        on_either!(self, link => roll_back(link).await)
    }
}

async fn begin<C: AsyncConnection>(link: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::begin_transaction(link).await
}

async fn commit<C: AsyncConnection>(link: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::commit_transaction(link).await
}

async fn roll_back<C: AsyncConnection>(link: &mut C) -> Result<(), DieselError> {
    C::TransactionManager::rollback_transaction(link).await
}

fn builder<M: bb8::ManageConnection>(settings: &DatabaseSettings) -> bb8::Builder<M> {
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(CHECKOUT_TIMEOUT)
        // Who wants a connection is told at once why there is none, and decides about trying again.
        .retry_connection(false)
}

/// On the thread that wants it: a file is opened in well under a millisecond.
async fn open_sqlite(path: &str) -> ConnectionResult<SqliteLink> {
    Ok(SqliteLink::new(sqlite::open(path)?))
}

async fn open_postgres(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut link = postgres::open(url).await?;
    // Whatever the database or the role has for a default, so that a statement that waits is known by how long it took; and a
    // transaction whose server is gone must not keep its locks until the network notices.
    let setup = format!(
        "SET statement_timeout = {}; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = {}; \
         SET application_name = 'resume-chatbot'",
        LONGEST_STATEMENT.as_millis(),
        LONGEST_SILENCE.as_millis(),
    );
    link.batch_execute(&setup).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(link)
}

fn unavailable(error: impl std::fmt::Display) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// Whether the database is away or the data was wrong, as far as the error tells.
fn classify(error: &DieselError) -> StorageError {
    use diesel::result::DatabaseErrorKind as Kind;
    match error {
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
        | DieselError::DeserializationError(_) => StorageError::Rejected(error.to_string()),
        DieselError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => {
            StorageError::Unavailable(error.to_string())
        }
        DieselError::DatabaseError(_, information) if SQLITE_IS_AWAY.contains(&information.message()) => {
            StorageError::Unavailable(error.to_string())
        }
        _ => StorageError::Unclear(error.to_string()),
    }
}
