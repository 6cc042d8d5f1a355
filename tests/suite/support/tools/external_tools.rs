//! Programs of others that judge what the server says: Python's and Node's, which `tests/run` installs.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Programs that are interpreted start slowly on a busy builder; only failing tests spend all of this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Whether it ended with status 0.
    pub(crate) succeeded: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// The Python of an environment that has all of `tests/documents/requirements.txt`.
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    named_by("TEST_PYTHON", test)
}

/// A directory with all of `tests/documents/package.json`.
pub(crate) fn node_modules(test: &str) -> Option<PathBuf> {
    named_by("TEST_NODE_MODULES", test)
}

/// `None` where the tool is not there, which only a developer's machine may lack.
pub(crate) fn named_by(variable: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} must be set where CI is");
        let missing =
            format!("{test} was NOT covered: {variable} is unset; `tests/run` installs what it needs");
        // Written past the harness's capture, which would hide it from a run that passes.
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    path.map(PathBuf::from)
}

/// A file of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program with its arguments, ready to be run in `directory`.
pub(crate) fn program(path: impl AsRef<OsStr>, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(path);
    // Settings of whoever runs the tests are not the program's business; colours would be in the way.
    command.args(arguments).current_dir(directory).env("NO_COLOR", "1").env("PYTHONUNBUFFERED", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a program to its end, with this on its standard input.
pub(crate) async fn run(mut command: Command, input: &str) -> Ran {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap_or_else(|| panic!("{command:?} was started without a pipe"));
    let input = input.to_owned();
    // Written beside reading, or both would wait for each other; a program may also end without reading it all.
    let writing = tokio::spawn(async move {
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end within {PATIENCE:?}"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    writing.abort();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { succeeded: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
