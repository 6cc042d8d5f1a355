//! A program that runs in its own process group, which ends with the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process_group};

/// Runs the program beside a shell that kills the whole group at the end of its standard input. So
/// the group also ends if the test process is killed.
const GUARD: &str = "\"$@\" </dev/null & exec >/dev/null 2>&1; read -r _; kill -KILL 0";

/// The deadline for the end of a killed group. Processes that use much memory take a while.
const END: Duration = Duration::from_secs(5);

/// The polling interval for the end of a group. The system has no event for it.
const POLL: Duration = Duration::from_millis(5);

/// A running program with all of its descendants. Dropping it kills them.
pub(crate) struct ProcessGroup {
    guard: Child,
    /// Closing it ends the group.
    lifeline: Option<ChildStdin>,
}

/// The stream on which a program prints where it listens.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Neither.
    Discarded,
}

/// The lines of an output.
pub(crate) type Lines = Box<dyn Iterator<Item = String> + Send>;

impl ProcessGroup {
    /// Starts a program. Returns the lines of its output, which end when all its processes have
    /// closed the stream.
    pub(crate) fn start(
        program: &OsStr,
        configure: impl FnOnce(&mut Command),
        output: Output,
    ) -> (Self, Lines) {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(program);
        configure(&mut command);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match output {
            Output::Stdout => command.stdout(Stdio::piped()),
            Output::Stderr => command.stderr(Stdio::piped()),
            Output::Discarded => &mut command,
        };
        let mut guard =
            command.spawn().unwrap_or_else(|error| panic!("could not start {program:?}: {error}"));
        let stdout = guard.stdout.take().map(|pipe| BufReader::new(pipe).lines());
        let stderr = guard.stderr.take().map(|pipe| BufReader::new(pipe).lines());
        let lines = stdout.into_iter().flatten().map_while(Result::ok);
        let lines = lines.chain(stderr.into_iter().flatten().map_while(Result::ok));
        let lifeline = guard.stdin.take();
        (Self { guard, lifeline }, Box::new(lines))
    }

    fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.guard.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let group = i32::try_from(self.guard.id()).ok().and_then(Pid::from_raw);
        let deadline = Instant::now() + END;
        self.lifeline = None;
        if self.wait(deadline).is_none() {
            let _ = self.guard.kill();
        }
        // The profile is removed next; a process that still ends could write to it.
        while group.is_some_and(|group| test_kill_process_group(group).is_ok()) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

#[test]
fn dropped_group_ends_with_the_descendants_of_its_program() {
    let configure = |command: &mut Command| {
        command.args(["-c", "sleep 600 & echo $!; wait"]);
    };
    let (group, mut lines) = ProcessGroup::start(OsStr::new("sh"), configure, Output::Stdout);
    let descendant = lines.next().unwrap_or_default();
    let status = || std::fs::read_to_string(format!("/proc/{descendant}/stat")).unwrap_or_default();
    // It may not have become `sleep` yet.
    assert!(!status().is_empty(), "no descendant {descendant:?}");

    drop(group);

    // A process that has ended may still wait for its new parent.
    assert!(status().is_empty() || status().contains(") Z "), "it still runs: {}", status());
}
