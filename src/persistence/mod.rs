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

pub mod actor;
pub mod db;
pub mod error;
pub mod messages;
mod queries;
pub mod records;
pub mod reports;
mod writer;

pub use actor::PersistenceActor;
pub use error::StorageError;

/// How long anyone waits for the store before going on without it.
pub const PATIENCE: Duration = Duration::from_secs(2);
