//! What the settings promise, one file per promise; nothing here reads the real environment.

mod conflicts;
mod database_url;
mod declarations;
mod errors;
mod purposes;
mod redaction;
mod sources;
mod values;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Fault, Loaded, Purpose, Settings, SettingsError};

/// What a test returns, so that `?` ends it.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A key no placeholder check may refuse.
const KEY: &str = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdefWXYZ";

/// A folder of its own for a test, with a resume in it; removed when dropped.
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

    /// Loads to serve, with a good resume and key, and `environment` over them.
    fn serve(&self, file: Option<&Path>, environment: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
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

/// The faults of a load that must not succeed.
fn faults_of(result: Result<Loaded, SettingsError>) -> Result<Vec<Fault>, String> {
    match result {
        Ok(_) => Err("the settings were accepted".to_owned()),
        Err(error) => Ok(error.faults),
    }
}

/// The only fault of a load that must have one.
fn only_fault_of(result: Result<Loaded, SettingsError>) -> Result<Fault, String> {
    let mut faults = faults_of(result)?;
    match (faults.pop(), faults.len()) {
        (Some(fault), 0) => Ok(fault),
        (_, others) => Err(format!("{} faults instead of one", others + 1)),
    }
}

fn names(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.name.as_str()).collect()
}

/// The effective value of a setting.
fn effective(settings: &Settings, name: &str) -> String {
    settings
        .effective()
        .into_iter()
        .find_map(|(other, value)| (other == name).then_some(value))
        .unwrap_or_else(|| format!("no setting called {name}"))
}
