//! The server under test: a process with its own directory, which can be killed and restarted.

use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::server::config::ServerConfig;
use crate::support::server::process::{Process, addresses_in};

/// A running server, killed when dropped.
pub(crate) struct Server {
    config: ServerConfig,
    home: TempDir,
    process: Process,
}

impl Server {
    /// Starts the server and waits until it listens.
    pub(crate) async fn start(config: ServerConfig) -> Self {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for the server: {error}"));
        let resume = home.path().join("resume.md");
        fs::write(&resume, &config.resume)
            .unwrap_or_else(|error| panic!("could not write the resume: {error}"));
        let database = format!("sqlite://{}", home.path().join("server.db").display());
        let mut config = config;
        for (name, value) in [("RESUME_PATH", resume.display().to_string()), ("DATABASE_URL", database)] {
            config.settings.entry(name.to_owned()).or_insert(value);
        }
        let process = Process::start(&config, &home).await;
        Self { config, home, process }
    }

    /// Starts the server again on the same database, after a graceful shutdown if it still runs.
    pub(crate) async fn restart(&mut self) {
        if self.process.is_running() {
            self.terminate().await;
            self.wait_for_exit().await;
        }
        self.process = Process::start(&self.config, &self.home).await;
    }

    /// Like [`Server::restart`], but on the same port, for clients that reconnect by themselves.
    pub(crate) async fn restart_on_the_same_port(&mut self) {
        self.config = self.config.clone().with("PORT", self.address().port());
        self.restart().await;
    }

    /// Changes a setting for the next restart.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.config = self.config.clone().with(name, value);
    }

    /// Replaces the resume file while the server runs.
    pub(crate) fn rewrite_resume(&self, markdown: &str) {
        fs::write(self.home.path().join("resume.md"), markdown)
            .unwrap_or_else(|error| panic!("could not rewrite the resume: {error}"));
    }

    /// Returns the public address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Returns the URL of the chat WebSocket.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/ws/chat", self.address())
    }

    /// Returns the URL of a path on the public port.
    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Returns the URL of a path on the operator port, whose address is on stdout or in the log.
    pub(crate) async fn operator_url(&self, path: &str) -> String {
        let public = self.address();
        // Other lines may contain addresses of visitors.
        let operator_address = |line: &str| {
            let mentions_operator = line.to_lowercase().contains("operator");
            addresses_in(line).into_iter().find(|address| mentions_operator && *address != public)
        };
        let on_stdout = self.stdout().iter().find_map(|line| operator_address(line));
        let address = match on_stdout {
            Some(address) => address,
            None => {
                let has_address = |entry: &Value| operator_address(&entry.to_string()).is_some();
                let entry = self.wait_for_log("the operator address", has_address).await;
                operator_address(&entry.to_string()).unwrap_or(public)
            }
        };
        format!("http://{address}{path}")
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Returns the lines of standard output since the last start.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout.all()
    }

    /// Returns the log entries since the last start. A line that is not JSON is a string.
    pub(crate) fn logs(&self) -> Vec<Value> {
        self.process.logs.all()
    }

    /// Waits for the first log entry, past or future, that `matches`.
    pub(crate) async fn wait_for_log(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.process.logs.find(&format!("{what} in the server's log"), matches).await
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Requests a graceful shutdown with SIGTERM, without waiting for it.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends a signal by name. `STOP` and `CONT` simulate a server that hangs.
    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().await;
        assert!(
            sent.as_ref().is_ok_and(ExitStatus::success),
            "could not send {name} to the server: {sent:?}"
        );
    }

    /// Limits the size in bytes of files the server writes, to simulate a full disk. `None` removes
    /// the limit.
    pub(crate) fn limit_file_size(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(pid, Resource::Fsize, limit)
            .unwrap_or_else(|error| panic!("could not limit the file size: {error}"));
    }

    /// Waits for the process to end, and reads all of its output.
    pub(crate) async fn wait_for_exit(&mut self) -> ExitStatus {
        self.process.wait_for_exit().await
    }

    /// Returns the resident memory of the process in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no VmRSS in {status}"))
    }

    /// Returns the CPU time of the process, user and system, in clock ticks (10 ms on Linux).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.proc_file("stat");
        // The command name, in parentheses, may contain spaces. Field 3 follows it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        ticks(11)
            .zip(ticks(12))
            .map(|(user, system)| user + system)
            .unwrap_or_else(|| panic!("no CPU times in {stat}"))
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("could not read {path}: {error}"))
    }
}
