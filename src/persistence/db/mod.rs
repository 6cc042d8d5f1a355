//! Connections, schema and migrations of both databases.

pub(crate) mod cached_statement;
pub mod migrations;
pub(crate) mod models;
pub(crate) mod pool;
pub(crate) mod postgres;
pub(crate) mod postgres_conn;
pub mod schema;
pub(crate) mod sqlite;
