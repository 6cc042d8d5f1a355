//! Direct access to a test database: queries, changes, locks and outages.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

use std::future::Future;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, QueryResult, RunQueryDsl, SqliteConnection};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::stores::fresh_store::FreshStore;
use crate::support::within;

/// An outage of a database. It lasts until [`Outage::end`]; SQLite recovers on drop, too.
#[must_use = "dropping it ends the outage of a file"]
pub(crate) struct Outage<'a> {
    store: &'a FreshStore,
    /// The connection that holds the lock of an SQLite file.
    lock: Option<SqliteConnection>,
}

impl FreshStore {
    /// Runs SQL statements that return no rows.
    pub(crate) async fn execute(&self, statements: &str) {
        match self.admin() {
            Some(_) => drop(run_on_postgres(self.url(), statements).await),
            None => {
                let statements = statements.to_owned();
                run_on_sqlite(self, move |connection| connection.batch_execute(&statements)).await;
            }
        }
    }

    /// Runs a query that returns one number.
    pub(crate) async fn query_number(&self, query: &str) -> i64 {
        match self.admin() {
            Some(_) => {
                let rows = run_on_postgres(self.url(), query).await;
                let number = rows.first().and_then(|row| row.first()?.parse().ok());
                number.unwrap_or_else(|| panic!("{query:?} returned no number: {rows:?}"))
            }
            None => {
                let query = query.to_owned();
                run_on_sqlite(self, move |connection| sql::<BigInt>(&query).get_result(connection)).await
            }
        }
    }

    /// Runs a query that returns one text per row.
    pub(crate) async fn query_texts(&self, query: &str) -> Vec<String> {
        match self.admin() {
            Some(_) => run_on_postgres(self.url(), query).await.into_iter().flatten().collect(),
            None => {
                let query = query.to_owned();
                run_on_sqlite(self, move |connection| sql::<Text>(&query).load(connection)).await
            }
        }
    }

    /// Takes the database offline. PostgreSQL ends all connections and rejects new ones. An SQLite
    /// file is locked exclusively, so that writes fail; in WAL mode reads still work.
    pub(crate) async fn take_offline(&self) -> Outage<'_> {
        let lock = match self.admin() {
            Some((admin, name)) => {
                run_on_postgres(admin, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")).await;
                let terminate = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                );
                run_on_postgres(admin, &terminate).await;
                None
            }
            None => {
                let lock = |connection: &mut SqliteConnection| connection.batch_execute("BEGIN EXCLUSIVE");
                Some(with_sqlite(self, lock).await.0)
            }
        };
        Outage { store: self, lock }
    }

    /// Runs SQL on a new PostgreSQL connection that stays open. Locks are held until the returned
    /// client is dropped.
    pub(crate) async fn execute_and_hold(&self, statements: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
        client
    }

    /// Waits until a statement of the server is blocked by a lock in this PostgreSQL database.
    pub(crate) async fn wait_until_blocked(&self) {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
            AND datname = current_database() AND wait_event_type = 'Lock'";
        let polling = async {
            while self.query_number(query).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the server to wait for a lock", polling).await;
    }

    /// Returns the number of open connections to this PostgreSQL database.
    pub(crate) async fn open_connections(&self) -> i64 {
        let Some((admin, name)) = self.admin() else { panic!("SQLite has no connections to count") };
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
        let rows = run_on_postgres(admin, &count).await;
        rows.first().and_then(|row| row.first()?.parse().ok()).unwrap_or_default()
    }
}

impl Outage<'_> {
    /// Brings the database back online.
    pub(crate) async fn end(self) {
        drop(self.lock);
        if let Some((admin, name)) = self.store.admin() {
            run_on_postgres(admin, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")).await;
        }
    }
}

/// Runs SQL on a PostgreSQL database. Returns the rows as text, with NULL as the empty string.
pub(crate) async fn run_on_postgres(url: &str, statements: &str) -> Vec<Vec<String>> {
    let running = async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let rows = client.simple_query(statements).await;
        drop(client);
        // Wait until the connection is closed, so that counts of connections do not include it.
        let _ = connection.await;
        rows
    };
    let rows = within(&format!("PostgreSQL to run {statements:?}"), running).await;
    let rows = rows.unwrap_or_else(|error| panic!("PostgreSQL failed to run {statements:?}: {error:?}"));
    let cells = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect()
    };
    rows.iter()
        .filter_map(|row| if let SimpleQueryMessage::Row(row) = row { Some(cells(row)) } else { None })
        .collect()
}

async fn run_on_sqlite<T: Send + 'static>(
    store: &FreshStore,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> T {
    with_sqlite(store, work).await.1
}

/// Runs `work` on a new connection, which waits while the server is writing. Returns the
/// connection.
fn with_sqlite<T: Send + 'static>(
    store: &FreshStore,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> impl Future<Output = (SqliteConnection, T)> {
    let path = store.url().trim_start_matches("sqlite://").to_owned();
    let working = tokio::task::spawn_blocking(move || {
        let mut connection = SqliteConnection::establish(&path)
            .unwrap_or_else(|error| panic!("could not open {path}: {error}"));
        let result =
            connection.batch_execute("PRAGMA busy_timeout = 5000").and_then(|()| work(&mut connection));
        let result = result.unwrap_or_else(|error| panic!("SQLite failed to run the statement: {error}"));
        (connection, result)
    });
    async { within("SQLite to run the statement", working).await.unwrap_or_else(|error| panic!("{error}")) }
}
