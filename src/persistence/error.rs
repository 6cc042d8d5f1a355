//! The errors of the store.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::budget_scope::BudgetScope;
use crate::system::panics::Panic;

/// The error of the database or its driver, which is cloned with each [`StorageError`].
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// A request to the store failed.
#[derive(Clone, Debug, Error)]
pub enum StorageError {
    /// The database cannot be reached or does not reply. Clients see `STORAGE_UNAVAILABLE`.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// The database failed with an error that may be transient or caused by the data. Clients see
    /// `STORAGE_UNAVAILABLE`.
    #[error("the database failed")]
    Ambiguous(#[source] Cause),
    /// The database will never accept the data. Clients see `STORAGE_UNAVAILABLE`; it is a bug of
    /// this server.
    #[error("the database rejected the data")]
    Rejected(#[source] Cause),
    /// The code of this server panicked. Clients see `INTERNAL_ERROR`.
    #[error("the store panicked: {0}")]
    Panicked(Panic),
    /// The queue of writes is full. Clients see `STORAGE_UNAVAILABLE`.
    #[error("too many writes are queued")]
    BufferFull,
    /// The write was still queued when its caller stopped waiting. Clients see
    /// `STORAGE_UNAVAILABLE`.
    #[error("the write timed out in the queue")]
    TimedOut,
    /// The writer task has ended. Clients see `STORAGE_UNAVAILABLE`.
    #[error("the writer has stopped")]
    WriterStopped,
    /// A later connection took the session over, or the session was deleted. Clients see
    /// `SESSION_NOT_FOUND`.
    #[error("a later connection owns the session, or the session was deleted")]
    Superseded,
    /// A reservation would exceed a limit, counting all instances that share the database. Clients
    /// see `BUDGET_EXCEEDED`.
    #[error("the budget of the {} would be exceeded", .0.as_str())]
    BudgetExceeded(BudgetScope),
    /// The turn has already ended, or it was deleted. Clients see `NO_SUCH_TURN`, or nothing.
    #[error("the turn has already ended, or was deleted")]
    Gone,
    /// The session has a question with the same `id`. Clients see `DUPLICATE_ID` or the earlier
    /// answer.
    #[error("the session has another question with the same id")]
    DuplicateQuestion,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error_chain::ErrorChain;

    #[test]
    fn error_chain_shows_every_cause() {
        let cause = Cause::new(std::io::Error::other("connection reset"));
        let error = StorageError::Unavailable(cause);
        assert_eq!(error.to_string(), "the database is unavailable");
        assert_eq!(ErrorChain(&error).to_string(), "the database is unavailable: connection reset");
        assert_eq!(ErrorChain(&StorageError::BufferFull).to_string(), "too many writes are queued");
    }
}
