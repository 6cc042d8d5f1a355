//! Everything that is kept, and the actor that alone may touch it in the server.
//!
//! [`PersistenceActor`] receives the requests in [`messages`]; it sends nothing. It owns the pool, so every connection
//! to the database is opened on its thread, and a bounded buffer of writes that one `writer` task commits in groups.
//! A read or a write that has begun is finished whatever becomes of its asker. It stops with the process, after
//! [`FlushStorage`](messages::FlushStorage).
//!
//! In reading order: [`messages`], [`actor`], `writer` and `group` (group commit; `suspicion` and `trial` say what to do when it
//! fails), the queries, each written once for both databases (`queries`, `transcript`, `succession`, `visitors_wishes`, `spending`,
//! [`owed_costs`]; but for three in `questions`),
//! `pool` (what makes that possible; `postgres`, `postgres_link` and `sqlite` open its connections), `models`, [`schema`], [`migrations`].
//! [`reports`] is what the owner's commands read and delete, in a process of their own beside the server.

use std::time::Duration;

use thiserror::Error;

use crate::spending::Scope;

pub mod actor;
mod group;
pub mod messages;
pub mod migrations;
mod models;
pub mod owed_costs;
mod pool;
mod postgres;
mod postgres_link;
mod prepared;
mod queries;
mod questions;
pub mod reports;
pub mod schema;
mod spending;
mod sqlite;
mod succession;
mod suspicion;
mod transcript;
mod trial;
mod visitors_wishes;
mod writer;

pub use actor::PersistenceActor;

use crate::supervision::Panic;

/// How long anyone waits for the store before going on without it.
pub const PATIENCE: Duration = Duration::from_secs(2);

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
