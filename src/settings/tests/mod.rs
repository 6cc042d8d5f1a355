//! Tests of the settings. They do not read the environment of the process.

mod conflicts;
mod database_url;
mod declarations;
mod errors;
mod purposes;
mod redaction;
mod secret_files;
mod sources;
mod values;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{LoadedSettings, Purpose, SettingError, Settings, SettingsError};

/// The result of a test, so that it can use `?`.
type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A key that is not a placeholder.
const KEY: &str = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdefWXYZ";

/// A temporary folder with a resume. It is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("resume-chatbot-settings-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0)?;
        folder.file("resume.md", "# Ada Lovelace\n")?;
        Ok(folder)
    }

    fn file(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Loads the settings for `serve` with a valid resume and key, overridden by `environment`.
    fn serve(
        &self,
        file: Option<&Path>,
        environment: &[(&str, &str)],
    ) -> Result<LoadedSettings, SettingsError> {
        let resume = self.path("resume.md");
        let mut all = vec![("RESUME_PATH", resume.as_str()), ("OPENROUTER_API_KEY", KEY)];
        all.extend_from_slice(environment);
        Settings::load(&Purpose::Serve, file, variables(&all))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn variables(environment: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

/// Returns the errors of a load that must fail.
fn errors_of(result: Result<LoadedSettings, SettingsError>) -> Result<Vec<SettingError>, String> {
    match result {
        Ok(_) => Err("the settings were accepted".to_owned()),
        Err(error) => Ok(error.errors),
    }
}

/// Returns the error of a load that must fail with one error.
fn only_error_of(result: Result<LoadedSettings, SettingsError>) -> Result<SettingError, String> {
    let mut errors = errors_of(result)?;
    match (errors.pop(), errors.len()) {
        (Some(error), 0) => Ok(error),
        (_, others) => Err(format!("{} errors instead of one", others + 1)),
    }
}

fn names(errors: &[SettingError]) -> Vec<&str> {
    errors.iter().map(|error| error.name.as_str()).collect()
}

/// Returns the effective value of a setting.
fn effective(settings: &Settings, name: &str) -> String {
    settings
        .effective()
        .into_iter()
        .find_map(|(other, value)| (other == name).then_some(value))
        .unwrap_or_else(|| format!("no setting called {name}"))
}
