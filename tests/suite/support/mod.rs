//! The vocabulary of the black-box tests: a real server process, clients, a scripted upstream, real stores.
//!
//! Every wait has a deadline, and a missed one fails with what was awaited and what came instead.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod stores;
pub(crate) mod tools;
pub(crate) mod upstream;

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How long a test waits for anything that should happen at once. Generous, because builders are slow and shared;
/// it is only ever spent by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits `future`, and fails saying `what` was awaited when it takes longer than [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}, and it did not come"),
    }
}

/// Locks `mutex` also after a panic elsewhere, so that the first failure stays the one that is reported.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Things that happened, in order, for tests to look back on and to wait for.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    entries: Mutex<Entries<T>>,
    length: watch::Sender<usize>,
}

#[derive(Debug)]
struct Entries<T> {
    all: Vec<T>,
    /// How many were handed out by [`Journal::next`].
    taken: usize,
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        let entries = Entries { all: Vec::new(), taken: 0 };
        Self { entries: Mutex::new(entries), length: watch::Sender::new(0) }
    }
}

impl<T: Clone + Debug> Journal<T> {
    /// Adds an entry and wakes everyone who waits.
    pub(crate) fn push(&self, entry: T) {
        lock(&self.entries).all.push(entry);
        self.length.send_modify(|length| *length += 1);
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.entries).all.clone()
    }

    /// The oldest entry that no earlier call returned, as soon as there is one.
    pub(crate) async fn next(&self, what: &str) -> T {
        self.wait(PATIENCE, what, |entries| {
            let entry = entries.all.get(entries.taken).cloned()?;
            entries.taken += 1;
            Some(entry)
        })
        .await
    }

    /// The first entry, past or future, that `matches`.
    pub(crate) async fn find(&self, what: &str, matches: impl Fn(&T) -> bool) -> T {
        self.find_within(PATIENCE, what, matches).await
    }

    /// As [`Journal::find`], for what may take longer.
    pub(crate) async fn find_within(
        &self,
        patience: Duration,
        what: &str,
        matches: impl Fn(&T) -> bool,
    ) -> T {
        self.wait(patience, what, |entries| entries.all.iter().find(|entry| matches(entry)).cloned()).await
    }

    async fn wait(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut(&mut Entries<T>) -> Option<T>,
    ) -> T {
        let mut length = self.length.subscribe();
        let found = tokio::time::timeout(patience, async {
            loop {
                length.borrow_and_update();
                if let Some(entry) = look(&mut lock(&self.entries)) {
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
                panic!("waited {patience:?} for {what}; what came instead:{all}")
            }
        }
    }
}
