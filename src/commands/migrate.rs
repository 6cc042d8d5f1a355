//! `migrate`: migrates the database to the schema of this version.

use std::path::Path;
use std::sync::Arc;

use resume_chatbot::persistence::db::migrations;
use resume_chatbot::settings::{DatabaseUrl, Purpose};
use resume_chatbot::telemetry::logger;
use resume_chatbot::telemetry::metrics::Metrics;
use slog::{Logger, error, info};

use super::{CliError, CliResult, build_runtime, load_settings};

pub(super) fn migrate(config: Option<&Path>) -> CliResult {
    let loaded = load_settings(&Purpose::Migrate, config)?;
    let logging = logger::start(&(&loaded.settings.log).into(), &Arc::new(Metrics::default()));
    migrate_database(&loaded.settings.database.url, &logging.root)
}

/// Applies pending migrations.
///
/// Uses a separate runtime, because the migration library blocks its thread, and the runtime of the
/// actors does not allow that.
pub(super) fn migrate_database(url: &DatabaseUrl, log: &Logger) -> CliResult {
    let migrated = build_runtime()?.block_on(migrations::migrate(url)).map_err(|error| {
        error!(log, "database migration failed"; "cause" => %error);
        CliError::failure(format!("DATABASE_URL ({}): {error}", url.redacted()))
    })?;
    info!(log, "database is up to date"; "applied" => migrated.applied.join(", "));
    Ok(())
}
