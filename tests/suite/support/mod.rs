//! Test support: a real server process, clients, a scripted model server, real databases, browsers.
//!
//! Every wait has a deadline. A missed deadline fails the test and shows what arrived instead.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod stores;
pub(crate) mod surface;
pub(crate) mod tools;
pub(crate) mod upstream;

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

/// The deadline for anything that should happen immediately. It is generous because build machines
/// are slow and shared; only a failing test waits this long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Awaits `future` for at most [`TIMEOUT`], and fails the test with `what` after that.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out after {TIMEOUT:?} waiting for {what}"),
    }
}

/// Locks `mutex` even if it is poisoned, so that the first failure is the one that is reported.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An append-only list of events that tests can read and wait on.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    entries: Mutex<Entries<T>>,
    length: watch::Sender<usize>,
}

#[derive(Debug)]
struct Entries<T> {
    all: Vec<T>,
    /// The number of entries that [`Journal::next`] has returned.
    returned: usize,
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        let entries = Entries { all: Vec::new(), returned: 0 };
        Self { entries: Mutex::new(entries), length: watch::Sender::new(0) }
    }
}

impl<T: Clone + Debug> Journal<T> {
    /// Adds an entry and wakes all waiters.
    pub(crate) fn push(&self, entry: T) {
        lock(&self.entries).all.push(entry);
        self.length.send_modify(|length| *length += 1);
    }

    /// Returns all entries so far.
    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.entries).all.clone()
    }

    /// Waits for the oldest entry that no earlier call has returned.
    pub(crate) async fn next(&self, what: &str) -> T {
        self.wait(TIMEOUT, what, |entries| {
            let entry = entries.all.get(entries.returned).cloned()?;
            entries.returned += 1;
            Some(entry)
        })
        .await
    }

    /// Waits for the first entry, past or future, that `matches`.
    pub(crate) async fn find(&self, what: &str, matches: impl Fn(&T) -> bool) -> T {
        self.find_within(TIMEOUT, what, matches).await
    }

    /// Like [`Journal::find`], with a longer deadline.
    pub(crate) async fn find_within(&self, timeout: Duration, what: &str, matches: impl Fn(&T) -> bool) -> T {
        self.wait(timeout, what, |entries| entries.all.iter().find(|entry| matches(entry)).cloned()).await
    }

    async fn wait(
        &self,
        timeout: Duration,
        what: &str,
        mut select: impl FnMut(&mut Entries<T>) -> Option<T>,
    ) -> T {
        let mut length = self.length.subscribe();
        let found = tokio::time::timeout(timeout, async {
            loop {
                length.borrow_and_update();
                if let Some(entry) = select(&mut lock(&self.entries)) {
                    return Some(entry);
                }
                if length.changed().await.is_err() {
                    return None;
                }
            }
        });
        match found.await {
            Ok(Some(entry)) => entry,
            Ok(None) | Err(_) => {
                let all: String = self.all().iter().map(|entry| format!("\n  {entry:?}")).collect();
                panic!("timed out after {timeout:?} waiting for {what}; received instead:{all}")
            }
        }
    }
}

/// Raises the limit on open files as far as allowed, for tests with many connections. Where that is
/// not far enough, opening connections fails visibly.
pub(crate) fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
