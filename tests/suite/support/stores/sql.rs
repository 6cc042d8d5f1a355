//! A test's own way into its database: to look what is there, to break it, to take it away for a while.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test, which is what it is for")]

use std::future::Future;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, QueryResult, RunQueryDsl, SqliteConnection};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::stores::fresh_store::FreshStore;
use crate::support::within;

/// A database that is away until [`Outage::end`], or until this is dropped where it is a file.
#[must_use = "a file comes back when this is dropped"]
pub(crate) struct Outage<'a> {
    store: &'a FreshStore,
    /// SQLite: holds the lock.
    lock: Option<SqliteConnection>,
}

impl FreshStore {
    /// Runs SQL that returns nothing, as often as it takes to break something.
    pub(crate) async fn execute(&self, statements: &str) {
        match self.admin() {
            Some(_) => drop(on_postgres(self.url(), statements).await),
            None => {
                let statements = statements.to_owned();
                on_sqlite(self, move |connection| connection.batch_execute(&statements)).await;
            }
        }
    }

    /// The one number that a query returns.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        match self.admin() {
            Some(_) => {
                let rows = on_postgres(self.url(), query).await;
                let number = rows.first().and_then(|row| row.first()?.parse().ok());
                number.unwrap_or_else(|| panic!("{query:?} returned no number: {rows:?}"))
            }
            None => {
                let query = query.to_owned();
                on_sqlite(self, move |connection| sql::<BigInt>(&query).get_result(connection)).await
            }
        }
    }

    /// The one text of every row that a query returns.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        match self.admin() {
            Some(_) => on_postgres(self.url(), query).await.into_iter().flatten().collect(),
            None => {
                let query = query.to_owned();
                on_sqlite(self, move |connection| sql::<Text>(&query).load(connection)).await
            }
        }
    }

    /// Takes the database away. PostgreSQL cuts all connections and refuses new ones; SQLite's file is locked, so that
    /// nothing can be written, and reading goes on if the file is in WAL mode.
    pub(crate) async fn go_away(&self) -> Outage<'_> {
        let lock = match self.admin() {
            Some((admin, name)) => {
                on_postgres(admin, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")).await;
                let cut = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                );
                on_postgres(admin, &cut).await;
                None
            }
            None => {
                let lock = |connection: &mut SqliteConnection| connection.batch_execute("BEGIN EXCLUSIVE");
                Some(with_sqlite(self, lock).await.0)
            }
        };
        Outage { store: self, lock }
    }

    /// Runs SQL on a connection of its own to this PostgreSQL database that stays open, so that a lock is held until it is dropped.
    pub(crate) async fn hold(&self, statements: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
        client
    }

    /// Waits until a statement of the server waits for a lock in this PostgreSQL database.
    pub(crate) async fn until_blocked(&self) {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resume-chatbot'
            AND datname = current_database() AND wait_event_type = 'Lock'";
        let waiting = async {
            while self.number(query).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the server to wait for a lock", waiting).await;
    }

    /// Connections that are open to this PostgreSQL database.
    pub(crate) async fn connections(&self) -> i64 {
        let Some((admin, name)) = self.admin() else { panic!("SQLite has no connections to count") };
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
        let rows = on_postgres(admin, &count).await;
        rows.first().and_then(|row| row.first()?.parse().ok()).unwrap_or_default()
    }
}

impl Outage<'_> {
    /// Gives the database back.
    pub(crate) async fn end(self) {
        drop(self.lock);
        if let Some((admin, name)) = self.store.admin() {
            on_postgres(admin, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")).await;
        }
    }
}

/// Runs SQL on a PostgreSQL database; the rows as text, NULL as nothing.
pub(crate) async fn on_postgres(url: &str, statements: &str) -> Vec<Vec<String>> {
    let running = async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let rows = client.simple_query(statements).await;
        drop(client);
        // The connection has said goodbye when this returns, so that nobody counts it.
        let _ = connection.await;
        rows
    };
    let rows = within(&format!("PostgreSQL to do {statements:?}"), running).await;
    let rows = rows.unwrap_or_else(|error| panic!("PostgreSQL could not do {statements:?}: {error:?}"));
    let cells = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect()
    };
    rows.iter()
        .filter_map(|row| if let SimpleQueryMessage::Row(row) = row { Some(cells(row)) } else { None })
        .collect()
}

async fn on_sqlite<T: Send + 'static>(
    store: &FreshStore,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> T {
    with_sqlite(store, work).await.1
}

/// Works on a connection of one's own, which waits its turn if the server is writing, and hands it back.
fn with_sqlite<T: Send + 'static>(
    store: &FreshStore,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> impl Future<Output = (SqliteConnection, T)> {
    let path = store.url().trim_start_matches("sqlite://").to_owned();
    let working = tokio::task::spawn_blocking(move || {
        let mut connection = SqliteConnection::establish(&path)
            .unwrap_or_else(|error| panic!("could not open {path}: {error}"));
        let done =
            connection.batch_execute("PRAGMA busy_timeout = 5000").and_then(|()| work(&mut connection));
        let done = done.unwrap_or_else(|error| panic!("SQLite could not do what the test asked: {error}"));
        (connection, done)
    });
    async {
        within("SQLite to do what the test asked", working).await.unwrap_or_else(|error| panic!("{error}"))
    }
}
