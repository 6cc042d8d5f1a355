//! What the owner reads and deletes, in a process of its own, while a server may be using the same database.
//!
//! Everything is read in pages, each a query of its own, and deleted in small groups: no transaction is ever open for
//! longer than one of them, so that the server's writes never wait for a person.

use diesel::QueryResult;
use serde::Serialize;
use thiserror::Error;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{SessionId, TurnId};
use crate::persistence::StorageError;
use crate::persistence::db::pool::{Connection, Pool};
use crate::persistence::records::StoredTurn;
use crate::settings::{DatabaseSettings, DatabaseUrl};

mod queries;

/// Conversations deleted in one transaction: it is done in milliseconds, also where each has hundreds of turns.
const DELETED_AT_ONCE: usize = 50;

/// Words with which databases say that a table or a column is not there.
const SCHEMA_IS_MISSING: [&str; 3] = ["no such table", "no such column", "does not exist"];

/// A report could not be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The SQLite file is not there.
    #[error("there is no database yet; `resume-chatbot serve` and `resume-chatbot migrate` make it")]
    NoDatabase,
    /// The database was not brought to the schema of this version.
    #[error("the database does not have the tables of this version; run `resume-chatbot migrate`")]
    NoSchema,
    /// Anything else.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Which conversations.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Only those last seen at this time or later.
    pub since: Timestamp,
    /// Also those in which nothing was asked: a visitor came and went.
    pub empty_ones: bool,
    /// Only those with a question that got no whole answer, see [`Conversation::unanswered`].
    pub unanswered_only: bool,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest conversations begun before this one, the newest first; before none: the newest of all.
    Before(Option<SessionId>),
    /// The oldest conversations begun after this one, the oldest first; after none: the oldest of all.
    After(Option<SessionId>),
}

/// A conversation without its words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    /// The session.
    pub id: SessionId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last started, resumed or asked something.
    pub last_seen_at: Timestamp,
    /// Questions asked.
    pub questions: i64,
    /// Those of them whose answer failed, was cut off, or has not ended.
    pub unanswered: i64,
    /// Tokens of all prompts.
    pub prompt_tokens: i64,
    /// Tokens of all answers.
    pub completion_tokens: i64,
    /// US dollars, as far as the model's server named them; none if it never did.
    pub cost: Option<f64>,
}

/// What questions are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// The day (UTC) on which they were asked, as `2026-11-23`.
    Day,
    /// The model that answered; `(excerpts)` for the resume itself, `(none)` where nobody did.
    Model,
    /// How the answer ended.
    Status,
}

/// What a group of questions took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// What the group has in common.
    pub group: String,
    /// Questions asked.
    pub questions: i64,
    /// Tokens of their prompts.
    pub prompt_tokens: i64,
    /// Tokens of their answers.
    pub completion_tokens: i64,
    /// US dollars, as far as the model's server named them; none if it never did.
    pub cost: Option<f64>,
}

/// The database as the owner sees it.
pub struct Reports {
    pool: Pool,
}

impl Reports {
    /// Connects, and looks whether the tables are there. An SQLite file that is not there is not made. To be called
    /// within a tokio runtime.
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
        reports.run(crate::persistence::queries::turns::ping).await?;
        Ok(reports)
    }

    /// At most `limit` conversations.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn conversations(
        &self,
        selection: Selection,
        page: Page,
        limit: usize,
    ) -> Result<Vec<Conversation>, ReportError> {
        self.run(async move |link: &mut Connection| {
            queries::conversations(link, selection, page, limit).await
        })
        .await
    }

    /// One conversation, if there is one of this id.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn conversation(&self, id: SessionId) -> Result<Option<Conversation>, ReportError> {
        self.run(async move |link: &mut Connection| queries::conversation(link, id).await).await
    }

    /// At most `limit` turns of a conversation, in the order in which they were asked, beginning after `after`.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn turns(
        &self,
        id: SessionId,
        after: Option<TurnId>,
        limit: usize,
    ) -> Result<Vec<StoredTurn>, ReportError> {
        self.run(async move |link: &mut Connection| queries::turns(link, id, after, limit).await).await
    }

    /// What the questions asked at `since` or later took. Days come in their order, other groups by what was asked most.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn usage(&self, since: Timestamp, by: UsageBy) -> Result<Vec<Usage>, ReportError> {
        let mut usage =
            self.run(async move |link: &mut Connection| queries::usage(link, since, by).await).await?;
        match by {
            UsageBy::Day => usage.sort_by(|a, b| a.group.cmp(&b.group)),
            UsageBy::Model | UsageBy::Status => {
                usage.sort_by(|a, b| b.questions.cmp(&a.questions).then_with(|| a.group.cmp(&b.group)));
            }
        }
        Ok(usage)
    }

    /// How many conversations were last seen before this, and how many questions they hold.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn count_unseen_since(&self, before: Timestamp) -> Result<(i64, i64), ReportError> {
        self.run(async move |link: &mut Connection| queries::count_unseen_since(link, before).await).await
    }

    /// Deletes these conversations with all that was said; says how many there were. A connection that has one of them
    /// open is told that its session is gone.
    ///
    /// # Errors
    /// [`ReportError`]; those before it are deleted.
    pub async fn delete(&self, ids: &[SessionId]) -> Result<usize, ReportError> {
        let mut deleted = 0;
        for group in ids.chunks(DELETED_AT_ONCE) {
            deleted += self.delete_group(group.to_vec(), None).await?;
        }
        Ok(deleted)
    }

    /// Deletes the conversations that were last seen before this; says how many there were. One that is resumed
    /// meanwhile stays.
    ///
    /// # Errors
    /// [`ReportError`]; those before it are deleted.
    pub async fn delete_unseen_since(&self, before: Timestamp) -> Result<usize, ReportError> {
        let mut deleted = 0;
        let mut last = None;
        loop {
            let next = async move |link: &mut Connection| {
                queries::unseen_since(link, before, last, DELETED_AT_ONCE).await
            };
            let group = self.run(next).await?;
            let Some(greatest) = group.last().copied() else { return Ok(deleted) };
            last = Some(greatest);
            deleted += self.delete_group(group, Some(before)).await?;
        }
    }

    async fn delete_group(
        &self,
        ids: Vec<SessionId>,
        unseen_since: Option<Timestamp>,
    ) -> Result<usize, ReportError> {
        self.run(async move |link: &mut Connection| queries::delete(link, &ids, unseen_since).await).await
    }

    async fn run<R, F>(&self, operation: F) -> Result<R, ReportError>
    where
        F: AsyncFnOnce(&mut Connection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        self.pool.run(operation).await.map_err(|error| {
            let text = error.to_string();
            match error {
                StorageError::Unclear(_) if SCHEMA_IS_MISSING.iter().any(|words| text.contains(words)) => {
                    ReportError::NoSchema
                }
                other => ReportError::Storage(other),
            }
        })
    }
}
