//! Identifies this process, so that other instances can tell whether the owner of an unfinished
//! turn is still alive.
//!
//! An id consists of the boot id of the machine, the PID namespace, the PID and the start time of
//! the process. Processes with the same boot id and PID namespace can check each other. All others
//! rely on heartbeats (see the messages of the `llm` module). Where the system does not provide
//! this information, as on anything but Linux, the id is random, and other processes cannot check
//! it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The id of a server process.
#[derive(Clone, Debug)]
pub struct InstanceId {
    name: Arc<str>,
    /// The prefix of the name that processes share which can check each other, including the
    /// trailing slash.
    host_scope: Option<Arc<str>>,
}

impl InstanceId {
    /// Determines the id of this process.
    #[must_use]
    pub fn from_current_process() -> Self {
        let pid = std::process::id();
        match host_scope().zip(start_time(pid)) {
            Some((host_scope, start_time)) => Self {
                name: format!("{host_scope}{pid}/{start_time}").into(),
                host_scope: Some(host_scope.into()),
            },
            None => Self { name: uuid::Uuid::now_v7().to_string().into(), host_scope: None },
        }
    }

    /// Returns the id as it is stored.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Returns true if the named process has exited, or is this process. In both cases it does not
    /// work on anything that this process does not know about.
    #[must_use]
    pub fn is_dead(&self, name: &str) -> bool {
        if *self.name == *name {
            return true;
        }
        let local = self.host_scope.as_deref().and_then(|scope| name.strip_prefix(scope));
        let Some((pid, started)) = local.and_then(|rest| rest.split_once('/')) else { return false };
        pid.parse().is_ok_and(|pid| start_time(pid).as_deref() != Some(started))
    }
}

fn host_scope() -> Option<String> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let pid_namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}/", boot_id.trim(), pid_namespace.display()))
}

/// Returns the start time of a process in clock ticks since boot, or `None` if it does not run.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The command name, in parentheses, may contain anything. After it come the state and, as the
    // twentieth field, the start time.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let has_exited = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !has_exited).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn name_of(own: &InstanceId, pid: u32) -> String {
        let start_time = start_time(pid).unwrap_or_else(|| "0".to_owned());
        format!("{}{pid}/{start_time}", own.host_scope.as_deref().unwrap())
    }

    #[test]
    fn local_process_is_dead_after_it_has_exited() {
        let own = InstanceId::from_current_process();
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let name = name_of(&own, child.id());
        assert!(!own.is_dead(&name));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(own.is_dead(&name));
    }

    #[test]
    fn earlier_process_with_the_same_pid_is_dead() {
        let own = InstanceId::from_current_process();
        let name = own.name();
        let earlier = format!("{}/1", name.rsplit_once('/').unwrap().0);
        assert!(own.is_dead(&earlier));
        assert!(own.is_dead(&name), "this process does not work on turns that it does not know");
    }

    #[test]
    fn processes_of_other_hosts_are_not_known_to_be_dead() {
        let own = InstanceId::from_current_process();
        for name in ["", "another-boot/pid:[1]/1/1", "01900000-0000-7000-8000-000000000000"] {
            assert!(!own.is_dead(name), "{name}");
        }
    }
}
