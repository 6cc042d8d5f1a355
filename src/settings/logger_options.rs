//! Conversion of the log settings to the options of the logger.

use slog::Level;

use crate::settings::{LogFormat, LogLevel, LogSettings};
use crate::telemetry::logger::{LoggerOptions, OutputFormat};

impl From<&LogSettings> for LoggerOptions {
    fn from(settings: &LogSettings) -> Self {
        let modules =
            settings.levels.modules.iter().map(|(module, level)| (module.clone(), severity(*level)));
        Self {
            level: severity(settings.levels.level),
            modules: modules.collect(),
            format: match settings.format {
                LogFormat::Auto => OutputFormat::Auto,
                LogFormat::Human => OutputFormat::Human,
                LogFormat::Json => OutputFormat::Json,
            },
        }
    }
}

fn severity(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
    }
}
