//! What the visitor has set up in the browser and the system, and the profile that it is written
//! to.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The preferences of a visitor, fixed when the browser starts.
#[derive(Clone, Debug)]
pub(crate) struct Preferences {
    /// The language of the visitor, such as `de` or `pt-BR`. It sets `navigator.language` and
    /// `Accept-Language`; browsers may add the region or English.
    pub(crate) language: &'static str,
    /// Whether `prefers-color-scheme` is `dark`.
    pub(crate) dark: bool,
    /// Whether `prefers-reduced-motion` is `reduce`.
    pub(crate) reduced_motion: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { language: "en-US", dark: false, reduced_motion: false }
    }
}

/// A new directory for everything that a browser writes.
pub(crate) struct Profile {
    directory: TempDir,
}

impl Profile {
    /// Creates an empty profile.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("browser").tempdir();
        Self { directory: directory.unwrap_or_else(|error| panic!("no directory for the browser: {error}")) }
    }

    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the profile.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent
            .and_then(|()| fs::write(&path, content))
            .unwrap_or_else(|error| panic!("could not write {path:?}: {error}"));
    }

    /// Makes the profile the home and the temporary directory of a program.
    pub(crate) fn apply(&self, command: &mut Command) {
        for name in ["HOME", "TMPDIR", "XDG_RUNTIME_DIR"] {
            command.env(name, self.path());
        }
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"] {
            command.env_remove(name);
        }
    }
}
