//! The reads and deletions of the owner's commands, which run in their own process and may share
//! the database with a running server.
//!
//! Data is read in pages with one query each and deleted in small batches, so that no transaction
//! stays open long enough to delay the writes of the server.

mod queries;
mod records;

use diesel::QueryResult;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::db::pool::{Connection, Pool};
use crate::persistence::error::StorageError;
use crate::persistence::queries::sessions;
use crate::persistence::records::StoredTurn;
use crate::settings::{DatabaseSettings, DatabaseUrl};

pub use records::{
    ConversationFilter, ConversationSummary, Page, ReportError, UnseenCount, UsageBy, UsageGroup,
};

/// The number of conversations deleted in one transaction. It takes milliseconds even if each has
/// hundreds of turns.
const DELETE_BATCH: usize = 50;

/// Parts of the messages of both databases about a missing table or column. Diesel has no separate
/// error kind for either.
const MISSING_SCHEMA_MESSAGES: [&str; 3] = ["no such table", "no such column", "does not exist"];

/// Access to the database for reports.
pub struct Reports {
    pool: Pool,
}

impl Reports {
    /// Connects and checks that the tables exist. Does not create a missing SQLite file. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, ReportError> {
        if let DatabaseUrl::Sqlite { path } = &settings.url
            && !path.exists()
        {
            return Err(ReportError::NoDatabase);
        }
        let reports = Self { pool: Pool::new(settings) };
        reports.run(sessions::ping).await?;
        Ok(reports)
    }

    /// Returns at most `limit` conversations.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn conversations(
        &self,
        filter: ConversationFilter,
        page: Page,
        limit: usize,
    ) -> Result<Vec<ConversationSummary>, ReportError> {
        self.run(async move |connection: &mut Connection| {
            queries::conversations(connection, filter, page, limit).await
        })
        .await
    }

    /// Returns the conversation with this id, if it exists.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn conversation(&self, id: SessionId) -> Result<Option<ConversationSummary>, ReportError> {
        self.run(async move |connection: &mut Connection| queries::conversation(connection, id).await).await
    }

    /// Returns at most `limit` turns of a conversation after the turn `after`, in the order in
    /// which they were asked.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn turns(
        &self,
        id: SessionId,
        after: Option<TurnId>,
        limit: usize,
    ) -> Result<Vec<StoredTurn>, ReportError> {
        self.run(async move |connection: &mut Connection| queries::turns(connection, id, after, limit).await)
            .await
    }

    /// Returns the usage of the questions asked at `since` or later. Days are in order; other
    /// groups are sorted by their number of questions, largest first.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn usage(&self, since: Timestamp, by: UsageBy) -> Result<Vec<UsageGroup>, ReportError> {
        let mut usage = self
            .run(async move |connection: &mut Connection| queries::usage(connection, since, by).await)
            .await?;
        match by {
            UsageBy::Day => usage.sort_by(|a, b| a.group.cmp(&b.group)),
            UsageBy::Model | UsageBy::Status => {
                usage.sort_by(|a, b| b.questions.cmp(&a.questions).then_with(|| a.group.cmp(&b.group)));
            }
        }
        Ok(usage)
    }

    /// Counts the conversations that were last seen before `before`.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn count_unseen_since(&self, before: Timestamp) -> Result<UnseenCount, ReportError> {
        self.run(async move |connection: &mut Connection| {
            queries::count_unseen_since(connection, before).await
        })
        .await
    }

    /// Deletes conversations with all of their content, and returns how many existed. A connection
    /// that uses a deleted conversation receives `SESSION_NOT_FOUND`.
    ///
    /// # Errors
    /// [`ReportError`]; earlier batches stay deleted.
    pub async fn delete(&self, ids: &[SessionId]) -> Result<usize, ReportError> {
        let mut deleted = 0;
        for batch in ids.chunks(DELETE_BATCH) {
            deleted += self.delete_batch(batch.to_vec(), None).await?;
        }
        Ok(deleted)
    }

    /// Deletes the conversations that were last seen before `before`, and returns their number. A
    /// conversation that is resumed meanwhile is kept.
    ///
    /// # Errors
    /// [`ReportError`]; earlier batches stay deleted.
    pub async fn delete_unseen_since(&self, before: Timestamp) -> Result<usize, ReportError> {
        let mut deleted = 0;
        let mut last = None;
        loop {
            let next = async move |connection: &mut Connection| {
                queries::unseen_since(connection, before, last, DELETE_BATCH).await
            };
            let batch = self.run(next).await?;
            let Some(greatest) = batch.last().copied() else { return Ok(deleted) };
            last = Some(greatest);
            deleted += self.delete_batch(batch, Some(before)).await?;
        }
    }

    async fn delete_batch(
        &self,
        ids: Vec<SessionId>,
        unseen_since: Option<Timestamp>,
    ) -> Result<usize, ReportError> {
        self.run(async move |connection: &mut Connection| {
            queries::delete(connection, &ids, unseen_since).await
        })
        .await
    }

    async fn run<R, F>(&self, operation: F) -> Result<R, ReportError>
    where
        F: AsyncFnOnce(&mut Connection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        self.pool.run(operation).await.map_err(|error| match &error {
            StorageError::Ambiguous(cause) => {
                let text = cause.to_string();
                match MISSING_SCHEMA_MESSAGES.iter().any(|message| text.contains(message)) {
                    true => ReportError::NoSchema,
                    false => ReportError::Storage(error),
                }
            }
            _ => ReportError::Storage(error),
        })
    }
}
