//! Connections that were used a moment ago are not asked whether they are alive: that would be one more wait for the database
//! before each operation of a busy server.

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
pub(super) struct RecentManager(pub(super) AsyncDieselConnectionManager<AsyncPgConnection>);

impl ManageConnection for RecentManager {
    type Connection = Recent;
    type Error = PoolError;

    async fn connect(&self) -> Result<Recent, PoolError> {
        Ok(Recent { link: self.0.connect().await?, used_at: Instant::now(), given_up: false })
    }

    async fn is_valid(&self, connection: &mut Recent) -> Result<(), PoolError> {
        if connection.used_at.elapsed() < MOMENT && !connection.link.is_broken() {
            return Ok(());
        }
        self.0.is_valid(&mut connection.link).await
    }

    fn has_broken(&self, connection: &mut Recent) -> bool {
        connection.used_at = Instant::now();
        connection.given_up || self.0.has_broken(&mut connection.link)
    }
}
