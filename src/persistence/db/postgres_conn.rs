//! Connections to PostgreSQL with a response timeout and a health state.
//!
//! Checking every connection would add a round trip to each operation, so recently used ones are
//! trusted until one fails. A connection that stops responding, for example behind a dead proxy, is
//! discarded, and so are the idle connections that were last used before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bb8::ManageConnection;
use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError, PoolableConnection};
use tokio::time::{Instant, timeout};

use crate::persistence::timeouts::STORE_TIMEOUT;

/// PostgreSQL cancels a statement after this time. No statement of this crate takes that long
/// unless it is blocked, for example on an abandoned lock.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that does not respond to a statement for this time is discarded.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3 * STATEMENT_TIMEOUT.as_secs());

/// The timeout of a liveness check. It leaves the caller time to open another connection.
const LIVENESS_CHECK_TIMEOUT: Duration = Duration::from_secs(STORE_TIMEOUT.as_secs() / 2);

/// A connection that was used this recently is not checked. A connection that the database has
/// closed is detected without a check.
const RECENTLY_USED: Duration = Duration::from_millis(500);

/// A connection with its health.
pub(crate) struct PgConn {
    inner: AsyncPgConnection,
    health: ConnHealth,
    /// When it was last returned to the pool.
    used_at: Instant,
}

/// Runs one statement with the [response timeout](ConnHealth::with_timeout).
macro_rules! run_pg_statement {
    ($connection:expr, $conn:ident => $query:expr) => {{
        let (health, $conn) = $connection.parts();
        health.with_timeout(async { $query }).await
    }};
}
pub(crate) use run_pg_statement;

impl PgConn {
    /// Returns the parts for [`run_pg_statement!`](run_pg_statement).
    pub(crate) fn parts(&mut self) -> (&mut ConnHealth, &mut AsyncPgConnection) {
        (&mut self.health, &mut self.inner)
    }

    /// Records that an operation failed, possibly because of the connection.
    pub(crate) fn mark_suspect(&mut self) {
        self.health.mark_suspect();
    }
}

/// The health of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnHealth {
    Healthy,
    /// An operation failed, possibly because of the connection.
    Suspect,
    /// A statement was sent and no response has arrived.
    Unresponsive,
}

impl ConnHealth {
    /// Awaits the response to a statement, for at most [`RESPONSE_TIMEOUT`]. A statement that fails
    /// after [`STATEMENT_TIMEOUT`] was blocked inside the database, which counts as an outage as
    /// well.
    pub(crate) async fn with_timeout<R>(
        &mut self,
        query: impl Future<Output = QueryResult<R>>,
    ) -> QueryResult<R> {
        if *self == Self::Unresponsive {
            return Err(connection_lost("an earlier statement got no response".to_owned()));
        }
        let sent_at = Instant::now();
        // Remains set if the caller drops this future before the response arrives.
        *self = Self::Unresponsive;
        let Ok(response) = timeout(RESPONSE_TIMEOUT, query).await else {
            let seconds = RESPONSE_TIMEOUT.as_secs();
            return Err(connection_lost(format!("no response within {seconds} seconds")));
        };
        *self = Self::Healthy;
        match response {
            Err(error) if sent_at.elapsed() >= STATEMENT_TIMEOUT => Err(connection_lost(error.to_string())),
            response => response,
        }
    }

    fn mark_suspect(&mut self) {
        if *self == Self::Healthy {
            *self = Self::Suspect;
        }
    }
}

/// Returns an error that the pool classifies as an outage.
fn connection_lost(cause: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(cause))
}

/// Opens connections and decides which can be reused.
pub(crate) struct PgConnManager {
    inner: AsyncDieselConnectionManager<AsyncPgConnection>,
    hints: Mutex<HealthHints>,
}

/// The times of connection failures, which make older idle connections suspect.
#[derive(Clone, Copy, Debug, Default)]
struct HealthHints {
    /// When a connection last failed. Idle connections that were last used before are checked.
    suspect_at: Option<Instant>,
    /// When a connection last received no response. Idle connections that were last used before are
    /// discarded without a check.
    unresponsive_at: Option<Instant>,
}

impl PgConnManager {
    pub(crate) fn new(inner: AsyncDieselConnectionManager<AsyncPgConnection>) -> Self {
        Self { inner, hints: Mutex::default() }
    }
}

impl ManageConnection for PgConnManager {
    type Connection = PgConn;
    type Error = PoolError;

    async fn connect(&self) -> Result<PgConn, PoolError> {
        Ok(PgConn {
            inner: self.inner.connect().await?,
            health: ConnHealth::Healthy,
            used_at: Instant::now(),
        })
    }

    async fn is_valid(&self, connection: &mut PgConn) -> Result<(), PoolError> {
        let PgConn { inner, health, used_at } = connection;
        let hints = *self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let used_before = |hint: Option<Instant>| hint.is_some_and(|at| *used_at <= at);
        if used_before(hints.unresponsive_at) {
            let error = connection_lost("another connection got no response".to_owned());
            return Err(PoolError::QueryError(error));
        }
        if used_at.elapsed() < RECENTLY_USED && !used_before(hints.suspect_at) && !inner.is_broken() {
            return Ok(());
        }
        *health = ConnHealth::Unresponsive;
        let Ok(checked) = timeout(LIVENESS_CHECK_TIMEOUT, self.inner.is_valid(inner)).await else {
            let error = connection_lost("no response to the liveness check".to_owned());
            return Err(PoolError::QueryError(error));
        };
        *health = if checked.is_ok() { ConnHealth::Healthy } else { ConnHealth::Suspect };
        checked
    }

    fn has_broken(&self, connection: &mut PgConn) -> bool {
        if self.inner.has_broken(&mut connection.inner) {
            connection.health.mark_suspect();
        }
        let now = Instant::now();
        connection.used_at = now;
        if connection.health == ConnHealth::Healthy {
            return false;
        }
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.suspect_at = Some(now);
        if connection.health == ConnHealth::Unresponsive {
            hints.unresponsive_at = Some(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Returns the error of a statement that PostgreSQL cancels after `time`, and the health
    /// afterwards.
    async fn fail_after(time: Duration) -> (DieselError, ConnHealth) {
        let mut health = ConnHealth::Healthy;
        let cancelled = async {
            sleep(time).await;
            let message = Box::new("cancelled".to_owned());
            Err::<(), _>(DieselError::DatabaseError(DatabaseErrorKind::Unknown, message))
        };
        (health.with_timeout(cancelled).await.unwrap_err(), health)
    }

    #[tokio::test(start_paused = true)]
    async fn blocked_statement_counts_as_an_outage() {
        use DatabaseErrorKind::{ClosedConnection, Unknown};
        let kind_after = async |time| match fail_after(time).await {
            (DieselError::DatabaseError(kind, _), ConnHealth::Healthy) => kind,
            other => panic!("{other:?}"),
        };
        assert!(matches!(kind_after(STATEMENT_TIMEOUT - Duration::from_millis(1)).await, Unknown));
        assert!(matches!(kind_after(STATEMENT_TIMEOUT).await, ClosedConnection));
    }

    #[tokio::test(start_paused = true)]
    async fn unresponsive_connection_is_not_used_again() {
        let (error, mut health) = fail_after(Duration::MAX).await;
        assert!(error.to_string().contains("30 seconds"), "{error}");
        assert_eq!(health, ConnHealth::Unresponsive);
        let sent_at = Instant::now();
        health.with_timeout(async { Ok(()) }).await.unwrap_err();
        health.mark_suspect();
        assert_eq!((health, sent_at.elapsed()), (ConnHealth::Unresponsive, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_unresponsive_if_the_caller_does_not_wait_for_the_response() {
        let mut health = ConnHealth::Healthy;
        let statement = health.with_timeout(std::future::pending::<QueryResult<()>>());
        timeout(Duration::from_secs(1), statement).await.unwrap_err();
        assert_eq!(health, ConnHealth::Unresponsive);
    }
}
