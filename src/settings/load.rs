//! Loads the settings that a command needs from their sources.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Settings;
use super::error::SettingsError;
use super::groups::database::{DATABASE_POOL_SIZE, DATABASE_URL};
use super::groups::http::{HOST, PORT};
use super::groups::llm::{LlmSettings, OPENAI_API_KEY, OPENROUTER_API_KEY};
use super::groups::log::{LOG_FORMAT, LOG_LEVEL};
use super::groups::resume::RESUME_PATH;
use super::reader::SettingsReader;
use super::secret_file;
use super::sources::{self, Layer};
use super::values::database_url::DatabaseUrl;

/// What the settings are for. Determines which settings are read; the others keep their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Serving, or checking that it would work: all settings.
    Serve,
    /// Serving the demo: all settings but `RESUME_PATH`, `DATABASE_URL` and the API keys.
    Demo {
        /// The SQLite file for the conversations of the demo.
        database: PathBuf,
    },
    /// Migrating the database: the settings of the database and the log.
    Migrate,
    /// Reading or deleting stored conversations: the settings of the database.
    Report,
    /// Sending a request to the running server: its address.
    Probe,
    /// Asking the model server a question: all settings but `RESUME_PATH` and `DATABASE_URL`.
    Ask,
}

/// Valid settings, and warnings about them.
#[derive(Debug, Clone)]
pub struct LoadedSettings {
    /// The settings.
    pub settings: Settings,
    /// Sentences about values that work but are probably mistakes; to be logged once. They contain
    /// no secrets.
    pub warnings: Vec<String>,
}

/// Returns the environment of this process. No other code reads it.
#[expect(clippy::disallowed_methods, reason = "this is the function that the lint recommends")]
pub fn process_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

impl Settings {
    /// Loads the defaults, `config_file` and `environment`. A later source overrides an earlier
    /// one.
    ///
    /// # Errors
    ///
    /// All errors in all sources at once: unknown keys in the file, invalid values, missing or
    /// contradictory settings, unreadable files.
    pub fn load(
        purpose: &Purpose,
        config_file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<LoadedSettings, SettingsError> {
        let (mut errors, mut warnings, mut unreadable) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut file = config_file.map(|path| Layer::from_file(path, &mut errors)).unwrap_or_default();
        let mut environment = Layer::from_environment(environment, &mut warnings);
        file.retain(|name| purpose.reads(name));
        environment.retain(|name| purpose.reads(name));
        // Only now, because a file of a setting that is not read need not exist.
        secret_file::remove_overridden(&mut file, &environment);
        for layer in [&mut file, &mut environment] {
            secret_file::read_all(layer, &mut errors, &mut unreadable);
        }
        // Merging cannot fail, because the layers are in memory. If it did, settings would be
        // missing.
        let values = sources::merge([Layer::from_defaults(), file, environment]).unwrap_or_default();

        let mut reader = SettingsReader::new(values, unreadable);
        LlmSettings::remove_unused_key(&mut reader);
        let mut settings = Self::read(&mut reader);
        if let Some(settings) = &mut settings {
            if let Purpose::Demo { database } = purpose {
                settings.database.url = DatabaseUrl::Sqlite { path: database.clone() };
            }
            settings.budget.raise_defaults(&settings.tokens, &reader);
            settings.check(purpose, &mut reader);
        }

        let (reader_errors, reader_warnings) = reader.finish();
        errors.extend(reader_errors);
        warnings.extend(reader_warnings);
        match settings {
            Some(settings) if errors.is_empty() => Ok(LoadedSettings { settings, warnings }),
            _ => Err(SettingsError { errors }),
        }
    }

    /// Checks each group as a whole: required settings, contradictions and probable mistakes.
    fn check(&self, purpose: &Purpose, reader: &mut SettingsReader) {
        self.http.check(reader);
        self.database.check(reader);
        self.resume.check(purpose, reader);
        self.llm.check(purpose, reader);
        self.tokens.check(reader);
        self.budget.check(&self.tokens, reader);
        self.session.check(reader);
    }
}

impl Purpose {
    /// Returns true if this purpose reads the setting with this name, or the file with its value.
    fn reads(&self, name: &str) -> bool {
        let name = secret_file::setting_of(name).map_or(name, |setting| setting.name);
        match self {
            Self::Serve => true,
            Self::Demo { .. } => {
                ![DATABASE_URL, RESUME_PATH, OPENROUTER_API_KEY, OPENAI_API_KEY].contains(&name)
            }
            Self::Migrate => [DATABASE_URL, DATABASE_POOL_SIZE, LOG_LEVEL, LOG_FORMAT].contains(&name),
            Self::Report => [DATABASE_URL, DATABASE_POOL_SIZE].contains(&name),
            Self::Probe => [HOST, PORT].contains(&name),
            Self::Ask => ![DATABASE_URL, RESUME_PATH].contains(&name),
        }
    }
}
