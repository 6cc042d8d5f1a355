//! The errors of the store.

use thiserror::Error;

use crate::budget::Scope;
use crate::supervision::Panic;

/// The store could not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum StorageError {
    /// The database cannot be reached or does not answer. Clients see `STORAGE_UNAVAILABLE`.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database failed in a way that does not tell whether it is away or dislikes the data. Clients see
    /// `STORAGE_UNAVAILABLE`.
    #[error("the database failed: {0}")]
    Unclear(String),
    /// The database will never take this. Clients see `STORAGE_UNAVAILABLE`; it is a fault of this server.
    #[error("the database refused the data: {0}")]
    Rejected(String),
    /// Our own code panicked on the way. Clients see `INTERNAL_ERROR`.
    #[error("the store failed: {0}")]
    Panicked(Panic),
    /// As many writes are waiting as may. Clients see `STORAGE_UNAVAILABLE`.
    #[error("too many writes are waiting for the database")]
    BufferFull,
    /// The session was resumed by a later connection, or is gone. Clients see `SESSION_NOT_FOUND`.
    #[error("the session belongs to a later connection, or is gone")]
    Superseded,
    /// A ceiling would be exceeded, by this server or another that shares the database. Clients see
    /// `BUDGET_EXCEEDED`.
    #[error("the ceiling of the {} would be exceeded", .0.as_str())]
    CeilingReached(Scope),
    /// The turn has ended, or is no longer there. Clients see `NO_SUCH_TURN`, or nothing.
    #[error("the turn has ended, or is gone")]
    Gone,
    /// The session has a question with the same `id`. Clients see `DUPLICATE_ID` or the earlier answer.
    #[error("the session has another question with the same id")]
    DuplicateQuestion,
}
