//! SQLite and PostgreSQL: schema, batching, outages and connections.

mod outage_health;
mod outages;
mod postgres_connection;
pub(crate) mod schema;
mod write_batching;
