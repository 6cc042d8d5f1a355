//! External validators and interpreters: Python and Node packages that `tests/run` installs.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The deadline for a tool. Interpreters start slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The result of running a tool.
#[derive(Debug)]
pub(crate) struct ToolOutput {
    /// Whether the exit status is 0.
    pub(crate) succeeded: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Returns the Python interpreter with the packages of `tests/tools/requirements.txt`.
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    path_from_env("TEST_PYTHON", test)
}

/// Returns the directory with the Node packages of `tests/tools/package.json`.
pub(crate) fn node_modules(test: &str) -> Option<PathBuf> {
    path_from_env("TEST_NODE_MODULES", test)
}

/// Returns the path in an environment variable. If it is unset: `None`, or a failure where `CI` is
/// set.
pub(crate) fn path_from_env(variable: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} must be set in CI");
        let missing =
            format!("{test} was NOT covered: {variable} is unset; `tests/run --install` installs it");
        // The test harness captures `eprintln!` and hides it when the test passes.
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    path.map(PathBuf::from)
}

/// Returns the absolute path of a file in the repository.
pub(crate) fn repository_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Creates a command that runs `path` in `directory`.
pub(crate) fn command(path: impl AsRef<OsStr>, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(path);
    // Colors would get in the way of assertions about the output.
    command.args(arguments).current_dir(directory).env("NO_COLOR", "1").env("PYTHONUNBUFFERED", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command to its end with `input` on its standard input.
pub(crate) async fn run_tool(command: Command, input: &str) -> ToolOutput {
    run_tool_within(TIMEOUT, command, input).await
}

/// Like [`run_tool`], with another deadline.
pub(crate) async fn run_tool_within(timeout: Duration, mut command: Command, input: &str) -> ToolOutput {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap_or_else(|| panic!("{command:?} was started without a pipe"));
    let input = input.to_owned();
    // Write in a task, because a full output pipe would block the tool. It may ignore its input.
    let writing = tokio::spawn(async move {
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = tokio::time::timeout(timeout, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end within {timeout:?}"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    writing.abort();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ToolOutput {
        succeeded: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}
