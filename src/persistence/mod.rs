//! The store: SQLite or PostgreSQL behind one actor.
//!
//! [`PersistenceActor`] receives the requests in [`messages`] and sends none. It owns the
//! connection pool, so every connection is opened on its thread, and a bounded queue of writes,
//! which the writer task commits in batches. A started read or write runs to completion even if the
//! caller goes away. The actor stops with the process, after
//! [`FlushStorage`](messages::FlushStorage).
//!
//! | module | content |
//! |---|---|
//! | [`records`] | the values that the store takes and returns |
//! | [`error`] | the errors of the store |
//! | [`messages`] | the requests to the actor |
//! | [`db`] | connections, schema and migrations of both databases |
//! | `queries` | the statements, written once for both databases |
//! | `writer` | batch commits, retries and the isolation of invalid writes |
//! | [`reports`] | the reads and deletions of the owner's commands, in a separate process |
//! | [`actor`] | the actor |
//!
//! Each module uses only those above it, except that `reports` and `actor` do not use each other.

pub mod actor;
pub mod db;
pub mod error;
pub mod messages;
mod queries;
pub mod records;
pub mod reports;
mod timeouts;
mod writer;

pub use actor::PersistenceActor;
pub use error::StorageError;
pub use timeouts::STORE_TIMEOUT;
