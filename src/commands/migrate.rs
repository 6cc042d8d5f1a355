//! `migrate`: the database brought to the schema of this version, apart from serving.

use std::path::Path;
use std::sync::Arc;

use resume_chatbot::persistence::db::migrations;
use resume_chatbot::settings::{DatabaseUrl, Purpose};
use resume_chatbot::telemetry::logger;
use resume_chatbot::telemetry::metrics::Metrics;
use slog::{Logger, error, info};

use super::{Failed, Outcome, load, runtime};

pub(super) fn migrate(config: Option<&Path>) -> Outcome {
    let loaded = load(&Purpose::Migrate, config)?;
    let logging = logger::start(&(&loaded.settings.log).into(), &Arc::new(Metrics::default()));
    bring_up_to_date(&loaded.settings.database.url, &logging.root)
}

/// Migrates on a runtime of its own, before any actor: the library blocks its thread, which actors' runtimes refuse.
pub(super) fn bring_up_to_date(url: &DatabaseUrl, log: &Logger) -> Outcome {
    let migrated = runtime()?.block_on(migrations::migrate(url)).map_err(|error| {
        error!(log, "the database could not be migrated"; "cause" => %error);
        Failed(1, format!("DATABASE_URL ({}): {error}", url.masked()))
    })?;
    info!(log, "the database is up to date"; "applied" => migrated.applied.join(", "));
    Ok(())
}
