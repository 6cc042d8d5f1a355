//! What benchmarks share: the test support, the stores to measure on, and statistics.

pub(crate) mod statistics;
#[allow(dead_code, reason = "test support that each benchmark uses in part")]
#[path = "../../tests/suite/support/mod.rs"]
pub(crate) mod support;

use support::stores::fresh_store::StoreKind;

/// Measures on SQLite, and on PostgreSQL if `TEST_DATABASE_URL` is set.
#[allow(dead_code, reason = "some benchmarks measure on one store")]
pub(crate) async fn measure_on_every_store(measure: impl AsyncFn(StoreKind, &str)) {
    measure(StoreKind::Sqlite, "SQLite").await;
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        measure(StoreKind::Postgres, "PostgreSQL").await;
    } else {
        println!("PostgreSQL: not measured, TEST_DATABASE_URL is not set");
    }
}
