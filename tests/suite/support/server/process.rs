//! One life of the real binary: its process, what it writes, where it listens.

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

/// How long a server may take to start and to leave: more than anything else, because migrations run and answers drain.
const START_AND_STOP: Duration = Duration::from_secs(30);

/// One life of the server; a restart begins another. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Outlives the process, so that what it wrote can be asked about after its end.
    pub(crate) pid: u32,
    /// The public address.
    pub(crate) address: SocketAddr,
    /// Lines, as they come.
    pub(crate) stdout: Arc<Journal<String>>,
    /// Lines of stderr, parsed.
    pub(crate) logs: Arc<Journal<Value>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts the binary and waits until it has said where it listens.
    pub(crate) async fn start(config: &ServerConfig, home: &TempDir) -> Self {
        let mut child = command(&config.arguments, config.open_files)
            .envs(&config.settings)
            .current_dir(home.path())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start the server: {error}"));
        let pid = child.id().unwrap_or_else(|| panic!("the server ended before it had a process id"));
        let (stdout, logs) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
        let readers = vec![
            follow(child.stdout.take(), Arc::clone(&stdout), |line| line),
            follow(child.stderr.take(), Arc::clone(&logs), |line| {
                serde_json::from_str(&line).unwrap_or(Value::String(line))
            }),
        ];
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, pid, address, stdout, logs, readers };
        process.address = process.first_address().await;
        process
    }

    async fn first_address(&mut self) -> SocketAddr {
        let stdout = Arc::clone(&self.stdout);
        let tells = |line: &String| line.contains("http://127.0.0.1:");
        let what = "the line on stdout that says where the server listens";
        let ended = tokio::select! {
            line = stdout.find_within(START_AND_STOP, what, tells) => match addresses_in(&line).first() {
                Some(address) => return *address,
                None => panic!("no port in {line:?}"),
            },
            ended = self.child.wait() => ended,
        };
        self.read_to_the_end().await;
        panic!("the server ended ({ended:?}) before it listened; it wrote:\n{}", self.text())
    }

    /// Whether the process has not ended yet.
    pub(crate) fn still_runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        let killed = within("the killed server to be gone", self.child.kill()).await;
        killed.unwrap_or_else(|error| panic!("could not kill the server: {error}"));
        self.read_to_the_end().await;
    }

    /// Waits for the process to end, with all that it wrote read.
    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        let status = match tokio::time::timeout(START_AND_STOP, self.child.wait()).await {
            Ok(status) => status.unwrap_or_else(|error| panic!("could not wait for the server: {error}")),
            Err(_) => panic!("the server still ran after {START_AND_STOP:?}; it wrote:\n{}", self.text()),
        };
        self.read_to_the_end().await;
        status
    }

    async fn read_to_the_end(&mut self) {
        for reader in self.readers.drain(..) {
            let read = within("the end of the server's output", reader).await;
            read.unwrap_or_else(|error| panic!("could not read the server's output: {error}"));
        }
    }

    fn text(&self) -> String {
        let out = self.stdout.all().into_iter();
        out.chain(self.logs.all().iter().map(ToString::to_string)).map(|line| line + "\n").collect()
    }
}

/// How a command that ends by itself ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

/// Runs the binary to its end with exactly these settings, for `check`, `migrate`, and settings it should refuse.
pub(crate) async fn run_to_end(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    run_within(None, arguments, settings).await
}

/// The same under a limit of open files.
pub(crate) async fn run_within(
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
        Err(_) => panic!("{arguments:?} with {settings:?} still ran after {START_AND_STOP:?}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The binary with an environment of its own: nothing that the machine sets may reach its settings.
fn command(arguments: &[String], open_files: Option<u32>) -> Command {
    let binary = env!("CARGO_BIN_EXE_resume-chatbot");
    let mut command = Command::new(if open_files.is_some() { "sh" } else { binary });
    if let Some(most) = open_files {
        command.args(["-c", "ulimit -n $0; exec \"$@\"", &most.to_string(), binary]);
    }
    command.args(arguments).env_clear().kill_on_drop(true);
    // No test asks the world: what is meant for a public server ends at a port where nobody listens.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Reads lines into a journal until the pipe ends.
fn follow<R, T>(pipe: Option<R>, journal: Arc<Journal<T>>, parse: fn(String) -> T) -> JoinHandle<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    T: Clone + std::fmt::Debug + Send + 'static,
{
    let Some(pipe) = pipe else { panic!("the server was started without a pipe") };
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            journal.push(parse(String::from_utf8_lossy(&line).into_owned()));
        }
    })
}

/// Every `127.0.0.1:PORT` in a text.
pub(crate) fn addresses_in(text: &str) -> Vec<SocketAddr> {
    let after = text.split("127.0.0.1:").skip(1);
    let ports = after.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    ports.filter_map(|digits| Some(SocketAddr::from(([127, 0, 0, 1], digits.parse().ok()?)))).collect()
}
