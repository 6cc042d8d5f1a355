//! Connections that were used a moment ago are not asked whether they are alive: that would be one more wait for the database
//! before each operation of a busy server. When one proves dead, all are asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::ManageConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError, PoolableConnection};

/// Whoever was alive so short a time ago is taken for alive still. A connection that the database has closed is known to be
/// closed at any time.
const MOMENT: Duration = Duration::from_millis(500);

/// A connection, and when it was last given back.
pub(super) struct Recent {
    pub(super) link: AsyncPgConnection,
    used_at: Instant,
    /// Nobody knows what it is in the middle of.
    pub(super) given_up: bool,
}

/// Opens and judges connections to PostgreSQL.
pub(super) struct RecentManager {
    links: AsyncDieselConnectionManager<AsyncPgConnection>,
    /// When one was found dead that had been taken for alive.
    doubted_at: Mutex<Option<Instant>>,
}

impl RecentManager {
    pub(super) fn new(links: AsyncDieselConnectionManager<AsyncPgConnection>) -> Self {
        Self { links, doubted_at: Mutex::default() }
    }

    fn is_trusted(&self, connection: &mut Recent) -> bool {
        let doubted_at = *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let used_at = connection.used_at;
        used_at.elapsed() < MOMENT && doubted_at.is_none_or(|at| at < used_at) && !connection.link.is_broken()
    }
}

impl ManageConnection for RecentManager {
    type Connection = Recent;
    type Error = PoolError;

    async fn connect(&self) -> Result<Recent, PoolError> {
        Ok(Recent { link: self.links.connect().await?, used_at: Instant::now(), given_up: false })
    }

    async fn is_valid(&self, connection: &mut Recent) -> Result<(), PoolError> {
        if self.is_trusted(connection) {
            return Ok(());
        }
        self.links.is_valid(&mut connection.link).await
    }

    fn has_broken(&self, connection: &mut Recent) -> bool {
        let now = Instant::now();
        connection.used_at = now;
        let broken = connection.given_up || self.links.has_broken(&mut connection.link);
        if broken {
            *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        broken
    }
}
