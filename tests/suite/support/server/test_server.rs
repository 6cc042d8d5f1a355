//! The real server as a process of its own: started on a free port, listened to, killed and started again.

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
    /// Starts the server and waits until it has said where it listens.
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

    /// Starts the same server on the same database again, after asking it to leave if it still runs.
    pub(crate) async fn restart(&mut self) {
        if self.process.still_runs() {
            self.terminate().await;
            self.wait_exit().await;
        }
        self.process = Process::start(&self.config, &self.home).await;
    }

    /// As [`Server::restart`], and on the port it had, for clients that come back by themselves.
    pub(crate) async fn restart_on_the_same_port(&mut self) {
        self.config = self.config.clone().with("PORT", self.address().port());
        self.restart().await;
    }

    /// Changes a setting for the next restart.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.config = self.config.clone().with(name, value);
    }

    /// Replaces the resume on disk, under the running server.
    pub(crate) fn rewrite_resume(&self, markdown: &str) {
        fs::write(self.home.path().join("resume.md"), markdown)
            .unwrap_or_else(|error| panic!("could not rewrite the resume: {error}"));
    }

    /// Where the public port is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// The chat socket.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/ws/chat", self.address())
    }

    /// A path on the public port.
    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A path on the operator's port: the other address that the server named, on stdout or in its log.
    pub(crate) async fn operator_url(&self, path: &str) -> String {
        let public = self.address();
        // Only lines about the operator: others may name the addresses of visitors.
        let operator = |line: &str| {
            let about = line.to_lowercase().contains("operator");
            addresses_in(line).into_iter().find(|address| about && *address != public)
        };
        let on_stdout = self.stdout().iter().find_map(|line| operator(line));
        let address = match on_stdout {
            Some(address) => address,
            None => {
                let says = |entry: &Value| operator(&entry.to_string()).is_some();
                let entry = self.wait_for_log("the operator's address", says).await;
                operator(&entry.to_string()).unwrap_or(public)
            }
        };
        format!("http://{address}{path}")
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What was written to stdout in this life.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout.all()
    }

    /// What was written to stderr in this life, one JSON value a line; a line that is not JSON is a string.
    pub(crate) fn logs(&self) -> Vec<Value> {
        self.process.logs.all()
    }

    /// The first log entry, past or future, that `matches`.
    pub(crate) async fn wait_for_log(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.process.logs.find(&format!("{what} in the server's log"), matches).await
    }

    /// Ends the process at once (SIGKILL), as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Asks the process to leave (SIGTERM) without waiting for it.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends a signal by name: `STOP` and `CONT` make a server that hangs.
    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().await;
        assert!(
            sent.as_ref().is_ok_and(ExitStatus::success),
            "could not send {name} to the server: {sent:?}"
        );
    }

    /// Lets no file of the server be written beyond so many bytes; `None` lifts that. A disk that is full, without a disk.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(pid, Resource::Fsize, limit)
            .unwrap_or_else(|error| panic!("could not limit the server's files: {error}"));
    }

    /// Waits for the process to end, with all that it wrote read.
    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit().await
    }

    /// Memory that the process holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no VmRSS in {status}"))
    }

    /// Processor time that the process has used, user and system, in clock ticks (a hundredth of a second on Linux).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.proc_file("stat");
        // The command's name, in brackets, may hold spaces; the fields after it start with the third.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        ticks(11)
            .zip(ticks(12))
            .map(|(user, system)| user + system)
            .unwrap_or_else(|| panic!("no times in {stat}"))
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("could not read {path}: {error}"))
    }
}
