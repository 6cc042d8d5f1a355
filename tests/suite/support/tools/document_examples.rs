//! The examples of `docs/websocket_examples.md`, taken out of it and run as a reader would.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test, which is what it is for")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::support::tools::external_tools::{in_repository, node_modules, program, python};
use crate::support::{Journal, within};

/// Where the document is.
const DOCUMENT: &str = "docs/websocket_examples.md";

/// The address that the examples are printed with.
const PRINTED: &str = "127.0.0.1:8080";

/// The names of all examples, in the order of the document.
pub(crate) fn names() -> Vec<String> {
    let text = text();
    let fences = text.lines().filter_map(|line| line.split_once(" run=").map(|(_, name)| name.to_owned()));
    fences.collect()
}

/// The code blocks that say nothing about running.
pub(crate) fn others() -> Vec<String> {
    let text = text();
    let fences = text.lines().filter(|line| line.starts_with("```") && *line != "```");
    fences.filter(|line| !line.contains(" run=")).map(str::to_owned).collect()
}

/// The code of an example, for a server at this address.
pub(crate) fn code(name: &str, server: SocketAddr) -> String {
    let text = text();
    let after = text.split(&format!(" run={name}\n")).nth(1);
    let code = after.and_then(|rest| rest.split("\n```").next());
    let code = code.unwrap_or_else(|| panic!("{DOCUMENT} has no {name}"));
    assert!(code.contains(PRINTED), "{name} does not name {PRINTED}");
    code.replace(PRINTED, &server.to_string())
}

fn text() -> String {
    std::fs::read_to_string(in_repository(DOCUMENT)).unwrap()
}

/// A program of the document that runs.
pub(crate) struct Running {
    child: Child,
    /// Its standard output, piece by piece.
    stdout: Arc<Journal<String>>,
    /// What was heard of it so far.
    printed: String,
    /// Its standard error.
    pub(crate) stderr: Arc<Journal<String>>,
    _directory: TempDir,
}

/// Starts an example with what it needs; `None` where that is not there.
pub(crate) fn start(name: &str, server: SocketAddr, arguments: &[&str]) -> Option<Running> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    std::fs::write(&file, code(name, server)).unwrap();
    let file = file.display().to_string();
    let arguments: Vec<&str> = [file.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = command(name, &arguments, directory.path())?;
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
    let (stdout, stderr) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
    follow(child.stdout.take(), Arc::clone(&stdout));
    follow(child.stderr.take(), Arc::clone(&stderr));
    Some(Running { child, stdout, printed: String::new(), stderr, _directory: directory })
}

fn command(name: &str, arguments: &[&str], directory: &Path) -> Option<Command> {
    let modules = || node_modules(name);
    let mut command = match name.rsplit_once('.').unwrap_or_default() {
        (_, "py") => program(python(name)?, arguments, directory),
        (_, "mjs") => {
            // Node looks for modules beside the script.
            std::os::unix::fs::symlink(modules()?, directory.join("node_modules")).unwrap();
            program("node", arguments, directory)
        }
        (_, "sh") => {
            let beside = |path: PathBuf| path.parent().unwrap().display().to_string();
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path =
                format!("{}:{}:{}", beside(python(name)?), modules()?.join(".bin").display(), path.display());
            let mut command = program("bash", arguments, directory);
            command.env("PATH", path);
            command
        }
        other => panic!("{name}: nobody knows how to run {other:?}"),
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

impl Running {
    /// Waits until it has printed this, possibly in pieces; returns all that it has printed.
    pub(crate) async fn prints(&mut self, text: &str) -> &str {
        while !self.printed.contains(text) {
            self.printed += &self.stdout.next(&format!("{text:?} on stdout")).await;
        }
        &self.printed
    }

    /// Waits for its end; whether it said that it succeeded.
    pub(crate) async fn ends(&mut self) -> bool {
        let status = within("the example to end", self.child.wait()).await;
        // Its pipes are read to their end by tasks of their own, which may be a moment behind.
        tokio::task::yield_now().await;
        status.is_ok_and(|status| status.success())
    }
}
