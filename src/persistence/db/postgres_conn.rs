//! Connections to PostgreSQL, and what is thought of each: how long an answer is waited for, and whether it is asked first if it
//! is alive.
//!
//! That would be one more wait for the database before each operation of a busy server, so who was alive a moment ago is taken for
//! alive still, until one proves dead. One that does not answer at all is as if it were there and is not, such as behind a
//! proxy that has lost its server; the others are not waited for one after the other then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bb8::ManageConnection;
use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError, PoolableConnection};
use tokio::time::{Instant, timeout};

use crate::persistence::PATIENCE;

/// PostgreSQL ends a statement after this. One of ours that takes as long waits for something, such as a lock of somebody who has
/// forgotten it.
pub(crate) const LONGEST_STATEMENT: Duration = Duration::from_secs(10);

/// A connection is given up on which nothing has come for this long after a statement.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(3 * LONGEST_STATEMENT.as_secs());

/// How long an answer to whether it is alive is waited for: whoever wants a connection still has the time to open another.
const LONGEST_CHECK: Duration = Duration::from_secs(PATIENCE.as_secs() / 2);

/// Whoever was alive so short a time ago is taken for alive still. A connection that the database has closed is known to be
/// closed at any time.
const MOMENT: Duration = Duration::from_millis(500);

/// A connection.
pub(crate) struct PostgresLink {
    link: AsyncPgConnection,
    standing: Standing,
    /// When it was last given back.
    used_at: Instant,
}

/// Runs one statement; the only way to do so is to wait [until it is heard](Standing::until_heard).
macro_rules! heard {
    ($connection:expr, $link:ident => $query:expr) => {{
        let (standing, $link) = $connection.parts();
        standing.until_heard(async { $query }).await
    }};
}
pub(crate) use heard;

impl PostgresLink {
    /// For [`heard!`](heard).
    pub(crate) fn parts(&mut self) -> (&mut Standing, &mut AsyncPgConnection) {
        (&mut self.standing, &mut self.link)
    }

    /// An operation has failed on it, which may have been the connection.
    pub(crate) fn fail(&mut self) {
        self.standing.fail();
    }
}

/// What is thought of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Something has failed on it, which may have been the connection.
    Failed,
    /// It was asked something and has not answered.
    Silent,
}

impl Standing {
    /// Awaits the answer to a statement, for [`LONGEST_SILENCE`] at most. What failed because it waited inside the database for as
    /// long as it may is the database's fault, like silence.
    pub(crate) async fn until_heard<R>(
        &mut self,
        query: impl Future<Output = QueryResult<R>>,
    ) -> QueryResult<R> {
        if *self == Self::Silent {
            return Err(away("it has not answered before".to_owned()));
        }
        let asked_at = Instant::now();
        // It stays so when the asker is gone before the answer has come.
        *self = Self::Silent;
        let Ok(answer) = timeout(LONGEST_SILENCE, query).await else {
            return Err(away(format!("it has not answered for {} seconds", LONGEST_SILENCE.as_secs())));
        };
        *self = Self::Good;
        match answer {
            Err(error) if asked_at.elapsed() >= LONGEST_STATEMENT => Err(away(error.to_string())),
            answer => answer,
        }
    }

    fn fail(&mut self) {
        if *self == Self::Good {
            *self = Self::Failed;
        }
    }
}

/// The error that says that the database is away.
fn away(cause: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(cause))
}

/// Opens and judges connections.
pub(crate) struct PostgresLinks {
    links: AsyncDieselConnectionManager<AsyncPgConnection>,
    doubts: Mutex<Doubts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Doubts {
    /// What was used before this is asked whether it is alive.
    doubted_at: Option<Instant>,
    /// What was used before this is not even asked.
    silent_at: Option<Instant>,
}

impl PostgresLinks {
    pub(crate) fn new(links: AsyncDieselConnectionManager<AsyncPgConnection>) -> Self {
        Self { links, doubts: Mutex::default() }
    }
}

impl ManageConnection for PostgresLinks {
    type Connection = PostgresLink;
    type Error = PoolError;

    async fn connect(&self) -> Result<PostgresLink, PoolError> {
        Ok(PostgresLink {
            link: self.links.connect().await?,
            standing: Standing::Good,
            used_at: Instant::now(),
        })
    }

    async fn is_valid(&self, connection: &mut PostgresLink) -> Result<(), PoolError> {
        let PostgresLink { link, standing, used_at } = connection;
        let Doubts { doubted_at, silent_at } = *self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        let used_before = |doubt: Option<Instant>| doubt.is_some_and(|at| *used_at <= at);
        if used_before(silent_at) {
            return Err(PoolError::QueryError(away("another has not answered".to_owned())));
        }
        if used_at.elapsed() < MOMENT && !used_before(doubted_at) && !link.is_broken() {
            return Ok(());
        }
        *standing = Standing::Silent;
        let Ok(alive) = timeout(LONGEST_CHECK, self.links.is_valid(link)).await else {
            return Err(PoolError::QueryError(away("it has not answered".to_owned())));
        };
        *standing = if alive.is_ok() { Standing::Good } else { Standing::Failed };
        alive
    }

    fn has_broken(&self, connection: &mut PostgresLink) -> bool {
        if self.links.has_broken(&mut connection.link) {
            connection.standing.fail();
        }
        let now = Instant::now();
        connection.used_at = now;
        if connection.standing == Standing::Good {
            return false;
        }
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        doubts.doubted_at = Some(now);
        if connection.standing == Standing::Silent {
            doubts.silent_at = Some(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// What becomes of a statement that PostgreSQL ends after a time, and of its connection.
    async fn fail_after(time: Duration) -> (DieselError, Standing) {
        let mut standing = Standing::Good;
        let ended = async {
            sleep(time).await;
            Err::<(), _>(DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new("ended".to_owned())))
        };
        (standing.until_heard(ended).await.unwrap_err(), standing)
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_waited_for_somebody_else_is_not_blamed() {
        use DatabaseErrorKind::{ClosedConnection, Unknown};
        let kind_after = async |time| match fail_after(time).await {
            (DieselError::DatabaseError(kind, _), Standing::Good) => kind,
            other => panic!("{other:?}"),
        };
        assert!(matches!(kind_after(LONGEST_STATEMENT - Duration::from_millis(1)).await, Unknown));
        assert!(matches!(kind_after(LONGEST_STATEMENT).await, ClosedConnection));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_asked_again() {
        let (error, mut standing) = fail_after(Duration::MAX).await;
        assert!(error.to_string().contains("30 seconds"), "{error}");
        assert_eq!(standing, Standing::Silent);
        let asked_at = Instant::now();
        standing.until_heard(async { Ok(()) }).await.unwrap_err();
        standing.fail();
        assert_eq!((standing, asked_at.elapsed()), (Standing::Silent, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn whose_asker_did_not_wait_for_the_answer_is_in_the_middle_of_something() {
        let mut standing = Standing::Good;
        let asked = standing.until_heard(std::future::pending::<QueryResult<()>>());
        timeout(Duration::from_secs(1), asked).await.unwrap_err();
        assert_eq!(standing, Standing::Silent);
    }
}
