//! Which process this is, so that another that finds its unfinished work can tell whether it is still there.
//!
//! A process is named by the boot of its machine, its space of process ids, its id in there, and when it started. Who shares
//! the first two can look whether it still runs; for anybody else only its silence tells (see
//! [`FollowRemoteTurn`](crate::llm::messages::FollowRemoteTurn)). Where the system does not say so much, as anywhere but on Linux,
//! a process is named by chance and known to nobody but itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

/// One life of a server's process.
#[derive(Clone, Debug)]
pub struct Incarnation {
    name: Arc<str>,
    /// The part of the name that processes share which can see each other; with the slash behind it.
    neighbourhood: Option<Arc<str>>,
}

impl Incarnation {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        let known = neighbourhood().zip(started_at(pid));
        match known {
            Some((neighbourhood, started_at)) => Self {
                name: format!("{neighbourhood}{pid}/{started_at}").into(),
                neighbourhood: Some(neighbourhood.into()),
            },
            None => Self { name: uuid::Uuid::now_v7().to_string().into(), neighbourhood: None },
        }
    }

    /// Its name, as the store keeps it.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether it is certain that the process of this name does nothing any more of what this one finds undone: it has ended,
    /// or it is this one, which knows best.
    #[must_use]
    pub fn knows_to_be_gone(&self, name: &str) -> bool {
        if *self.name == *name {
            return true;
        }
        let neighbour = self.neighbourhood.as_deref().and_then(|common| name.strip_prefix(common));
        let Some((pid, started_at)) = neighbour.and_then(|rest| rest.split_once('/')) else { return false };
        pid.parse().is_ok_and(|pid| self::started_at(pid).as_deref() != Some(started_at))
    }
}

fn neighbourhood() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let process_ids = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}/", boot.trim(), process_ids.display()))
}

/// When the process of this id started, in ticks since the machine did; `None` when none runs.
fn started_at(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The command's name, in brackets, may hold anything; behind it stand the state and, as the twentieth, the start.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !has_ended).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn named(this: &Incarnation, pid: u32) -> String {
        let started_at = started_at(pid).unwrap_or_else(|| "0".to_owned());
        format!("{}{pid}/{started_at}", this.neighbourhood.as_deref().unwrap())
    }

    #[test]
    fn a_process_nearby_is_gone_when_it_has_ended_and_not_before() {
        let this = Incarnation::this();
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let name = named(&this, child.id());
        assert!(!this.knows_to_be_gone(&name));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(this.knows_to_be_gone(&name));
    }

    #[test]
    fn a_process_with_the_id_of_another_is_not_that_one() {
        let this = Incarnation::this();
        let name = this.name();
        let earlier = format!("{}/1", name.rsplit_once('/').unwrap().0);
        assert!(this.knows_to_be_gone(&earlier));
        assert!(this.knows_to_be_gone(&name), "what this process does not know of, it does not do");
    }

    #[test]
    fn of_processes_elsewhere_nothing_is_known() {
        let this = Incarnation::this();
        for name in ["", "another-boot/pid:[1]/1/1", "01900000-0000-7000-8000-000000000000"] {
            assert!(!this.knows_to_be_gone(name), "{name}");
        }
    }
}
