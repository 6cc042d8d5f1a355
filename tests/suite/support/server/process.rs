//! The process of the real binary: its output, its listening address, its exit.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::support::server::config::ServerConfig;
use crate::support::{Journal, within};

/// The deadline for start and stop. Both take long: migrations run, answers are drained.
const START_AND_STOP: Duration = Duration::from_secs(30);

/// One server process, killed when dropped. A restart starts a new one.
pub(crate) struct Process {
    child: Child,
    /// The process id, still readable after the process has ended.
    pub(crate) pid: u32,
    /// The public listening address.
    pub(crate) address: SocketAddr,
    /// The lines of standard output.
    pub(crate) stdout: Arc<Journal<String>>,
    /// The lines of standard error, parsed as JSON.
    pub(crate) logs: Arc<Journal<Value>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts the binary and waits until it has printed its address.
    pub(crate) async fn start(config: &ServerConfig, home: &TempDir) -> Self {
        let mut child = command(&config.arguments, config.open_files)
            .envs(&config.settings)
            .current_dir(home.path())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start the server: {error}"));
        let pid = child.id().unwrap_or_else(|| panic!("the server has no process id"));
        let (stdout, logs) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
        let readers = vec![
            follow(child.stdout.take(), Arc::clone(&stdout), |line| line),
            follow(child.stderr.take(), Arc::clone(&logs), |line| {
                serde_json::from_str(&line).unwrap_or(Value::String(line))
            }),
        ];
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, pid, address, stdout, logs, readers };
        process.address = process.read_address().await;
        process
    }

    async fn read_address(&mut self) -> SocketAddr {
        let stdout = Arc::clone(&self.stdout);
        let has_address =
            |line: &String| line.contains("http://127.0.0.1:") || line.contains("http://0.0.0.0:");
        let what = "the listening address on stdout";
        let ended = tokio::select! {
            line = stdout.find_within(START_AND_STOP, what, has_address) => match addresses_in(&line.replace("0.0.0.0", "127.0.0.1")).first() {
                Some(address) => return *address,
                None => panic!("no port in {line:?}"),
            },
            ended = self.child.wait() => ended,
        };
        self.read_remaining_output().await;
        panic!("the server ended ({ended:?}) before it listened; its output:\n{}", self.output_text())
    }

    /// Returns whether the process has not finished yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) async fn kill(&mut self) {
        let killed = within("the killed server to end", self.child.kill()).await;
        killed.unwrap_or_else(|error| panic!("could not kill the server: {error}"));
        self.read_remaining_output().await;
    }

    /// Waits for the process to end, and reads all of its output.
    pub(crate) async fn wait_for_exit(&mut self) -> ExitStatus {
        let status = match tokio::time::timeout(START_AND_STOP, self.child.wait()).await {
            Ok(status) => status.unwrap_or_else(|error| panic!("could not wait for the server: {error}")),
            Err(_) => {
                panic!("the server still runs after {START_AND_STOP:?}; its output:\n{}", self.output_text())
            }
        };
        self.read_remaining_output().await;
        status
    }

    async fn read_remaining_output(&mut self) {
        for reader in self.readers.drain(..) {
            let read = within("the end of the server's output", reader).await;
            read.unwrap_or_else(|error| panic!("could not read the server's output: {error}"));
        }
    }

    fn output_text(&self) -> String {
        let out = self.stdout.all().into_iter();
        out.chain(self.logs.all().iter().map(ToString::to_string)).map(|line| line + "\n").collect()
    }
}

/// The result of a command that ran to its end.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code, or `None` if a signal ended the command.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs a command of the binary to its end, with exactly these settings in the environment.
pub(crate) async fn run_command(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    run_command_with_open_files(None, arguments, settings).await
}

/// Like [`run_command`], with a limit on open files.
pub(crate) async fn run_command_with_open_files(
    open_files: Option<u32>,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> Output {
    let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for the command: {error}"));
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let mut command = command(&arguments, open_files);
    let running = command.envs(settings.iter().copied()).current_dir(home.path()).output();
    let output = match tokio::time::timeout(START_AND_STOP, running).await {
        Ok(output) => output.unwrap_or_else(|error| panic!("could not run {arguments:?}: {error}")),
        Err(_) => panic!("{arguments:?} with {settings:?} still runs after {START_AND_STOP:?}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Creates the command with an empty environment, so that no setting of the machine leaks in.
fn command(arguments: &[String], open_files: Option<u32>) -> Command {
    let binary = env!("CARGO_BIN_EXE_resume-chatbot");
    let mut command = Command::new(if open_files.is_some() { "sh" } else { binary });
    if let Some(limit) = open_files {
        command.args(["-c", "ulimit -n $0; exec \"$@\"", &limit.to_string(), binary]);
    }
    command.args(arguments).env_clear().kill_on_drop(true);
    // No test may reach the internet: HTTPS goes to a port on which nothing listens.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Copies the lines of a pipe into a journal, in a task.
fn follow<R, T>(pipe: Option<R>, journal: Arc<Journal<T>>, parse: fn(String) -> T) -> JoinHandle<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    T: Clone + std::fmt::Debug + Send + 'static,
{
    let Some(pipe) = pipe else { panic!("the server was started without pipes") };
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            journal.push(parse(String::from_utf8_lossy(&line).into_owned()));
        }
    })
}

/// Returns every `127.0.0.1:PORT` in `text`.
pub(crate) fn addresses_in(text: &str) -> Vec<SocketAddr> {
    let after = text.split("127.0.0.1:").skip(1);
    let ports = after.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    ports.filter_map(|digits| Some(SocketAddr::from(([127, 0, 0, 1], digits.parse().ok()?)))).collect()
}
