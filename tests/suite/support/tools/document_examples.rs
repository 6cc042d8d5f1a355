//! Extracts the examples of `docs/websocket_examples.md` and runs them.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::support::tools::external_tools::{command, node_modules, python, repository_path};
use crate::support::{Journal, within};

/// The document, relative to the repository.
const DOCUMENT: &str = "docs/websocket_examples.md";

/// The server address in the examples.
const DOCUMENTED_ADDRESS: &str = "127.0.0.1:8080";

/// Returns the names of all examples, in the order of the document.
pub(crate) fn example_names() -> Vec<String> {
    let text = read_document();
    let fences = text.lines().filter_map(|line| line.split_once(" run=").map(|(_, name)| name.to_owned()));
    fences.collect()
}

/// Returns the opening fences of code blocks that are not marked as examples to run.
pub(crate) fn other_fences() -> Vec<String> {
    let text = read_document();
    let fences = text.lines().filter(|line| line.starts_with("```") && *line != "```");
    fences.filter(|line| !line.contains(" run=")).map(str::to_owned).collect()
}

/// Returns the code of an example, for a server at this address.
pub(crate) fn example_code(name: &str, server: SocketAddr) -> String {
    let text = read_document();
    let after = text.split(&format!(" run={name}\n")).nth(1);
    let code = after.and_then(|rest| rest.split("\n```").next());
    let code = code.unwrap_or_else(|| panic!("{DOCUMENT} has no example {name}"));
    assert!(code.contains(DOCUMENTED_ADDRESS), "{name} does not contain {DOCUMENTED_ADDRESS}");
    code.replace(DOCUMENTED_ADDRESS, &server.to_string())
}

fn read_document() -> String {
    std::fs::read_to_string(repository_path(DOCUMENT)).unwrap()
}

/// A running example.
pub(crate) struct RunningExample {
    child: Child,
    /// Chunks of standard output.
    stdout: Arc<Journal<String>>,
    /// All output that [`Self::wait_for_output`] has read.
    output: String,
    /// Chunks of standard error.
    pub(crate) stderr: Arc<Journal<String>>,
    _directory: TempDir,
}

/// Starts an example. Returns `None` if the interpreter is not installed.
pub(crate) fn start_example(name: &str, server: SocketAddr, arguments: &[&str]) -> Option<RunningExample> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    std::fs::write(&file, example_code(name, server)).unwrap();
    let file = file.display().to_string();
    let arguments: Vec<&str> = [file.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = example_command(name, &arguments, directory.path())?;
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
    let (stdout, stderr) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
    follow(child.stdout.take(), Arc::clone(&stdout));
    follow(child.stderr.take(), Arc::clone(&stderr));
    Some(RunningExample { child, stdout, output: String::new(), stderr, _directory: directory })
}

fn example_command(name: &str, arguments: &[&str], directory: &Path) -> Option<Command> {
    let modules = || node_modules(name);
    let mut command = match name.rsplit_once('.').unwrap_or_default() {
        (_, "py") => command(python(name)?, arguments, directory),
        (_, "mjs") => {
            // Node looks for modules beside the script.
            std::os::unix::fs::symlink(modules()?, directory.join("node_modules")).unwrap();
            command("node", arguments, directory)
        }
        (_, "sh") => {
            let parent = |path: PathBuf| path.parent().unwrap().display().to_string();
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path =
                format!("{}:{}:{}", parent(python(name)?), modules()?.join(".bin").display(), path.display());
            let mut command = command("bash", arguments, directory);
            command.env("PATH", path);
            command
        }
        other => panic!("{name}: unknown extension {other:?}"),
    };
    command.stdin(Stdio::null());
    Some(command)
}

fn follow(stream: Option<impl AsyncRead + Unpin + Send + 'static>, journal: Arc<Journal<String>>) {
    let mut stream = stream.unwrap_or_else(|| panic!("started without a pipe"));
    tokio::spawn(async move {
        let mut bytes = vec![0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            journal.push(String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned());
        }
    });
}

impl RunningExample {
    /// Waits until the output contains `text`, and returns all output so far.
    pub(crate) async fn wait_for_output(&mut self, text: &str) -> &str {
        while !self.output.contains(text) {
            self.output += &self.stdout.next(&format!("{text:?} on stdout")).await;
        }
        &self.output
    }

    /// Waits for the end of the program. Returns whether it succeeded.
    pub(crate) async fn wait_for_exit(&mut self) -> bool {
        let status = within("the example to end", self.child.wait()).await;
        // The tasks that read the pipes may lag behind.
        tokio::task::yield_now().await;
        status.is_ok_and(|status| status.success())
    }
}
