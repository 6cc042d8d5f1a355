//! Failpoints: places in the code where a test can cause a panic or a delay.
//!
//! They exist only in builds with the feature `fault-injection`, which only the tests enable (by
//! the development dependency of this package on itself in `Cargo.toml`). In every other build
//! [`hit`] and [`pause`] are empty functions.

/// A place where a test can cause a panic or a delay. Tests use the names of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A session has received a text message.
    SessionText,
    /// A session handles a command.
    SessionCommand,
    /// A session forwards the progress of an answer.
    SessionProgress,
    /// The LLM actor handles a question.
    LlmAsk,
    /// The LLM actor looks up an answer.
    LlmFind,
    /// The LLM actor removes old answers.
    LlmSweep,
    /// The task of an answer starts.
    AnswerTask,
    /// The task of an answer is about to store it.
    AnswerConclude,
    /// The persistence actor handles a new session.
    PersistenceCreate,
    /// The persistence actor waits for a reply.
    PersistenceReply,
    /// A database read starts.
    PersistenceRead,
    /// A database read is done, but its result is not returned yet.
    PersistenceAfterRead,
    /// The writer starts a batch of writes.
    WriterBatch,
    /// A batch is written, but not committed.
    WriterCommit,
    /// A batch is committed, but not acknowledged.
    WriterCommitted,
    /// The health actor handles a request.
    HealthReceive,
    /// The health actor checks the other components.
    HealthCheck,
    /// The watchdog looks for slow consumers.
    WatchdogTick,
    /// The health endpoint handles a request.
    HttpHealth,
}

/// Panics if a test has armed the failpoint. The message contains `detail`, because the message of
/// a real panic can contain text of visitors.
#[inline]
pub fn hit(point: Failpoint, detail: &str) {
    #[cfg(feature = "fault-injection")]
    armed::hit(point, detail);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (point, detail);
}

/// Waits while a test holds the failpoint.
#[inline]
pub async fn pause(point: Failpoint) {
    #[cfg(feature = "fault-injection")]
    armed::pause(point).await;
    #[cfg(not(feature = "fault-injection"))]
    let _ = point;
}

#[cfg(feature = "fault-injection")]
pub use armed::{arm, hold, release, waiting_count};

#[cfg(feature = "fault-injection")]
mod armed {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use tokio::sync::watch;

    use crate::system::failpoints::Failpoint;

    /// The armed failpoints, and how often each panics. The server under test is a process of its
    /// own.
    static ARMED: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());

    /// Whether a failpoint was ever armed or held. Until then a failpoint costs almost nothing, so
    /// that benchmarks are not distorted.
    static IN_USE: AtomicBool = AtomicBool::new(false);

    /// Makes the next `times` hits of the failpoint panic.
    pub fn arm(point: &str, times: u32) {
        IN_USE.store(true, Ordering::SeqCst);
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        armed.retain(|(name, _)| name != point);
        armed.push((point.to_owned(), times));
    }

    /// The failpoints at which code waits.
    #[derive(Default)]
    struct Holds {
        held: Vec<String>,
        /// The name of the failpoint, once for each task that has reached it while it was held.
        reached: Vec<String>,
    }

    static HOLDS: LazyLock<watch::Sender<Holds>> = LazyLock::new(watch::Sender::default);

    /// Makes code that reaches the failpoint wait there.
    pub fn hold(point: &str) {
        IN_USE.store(true, Ordering::SeqCst);
        HOLDS.send_modify(|holds| holds.held.push(point.to_owned()));
    }

    /// Lets the code that waits at the failpoint continue.
    pub fn release(point: &str) {
        HOLDS.send_modify(|holds| holds.held.retain(|name| name != point));
    }

    /// Returns how many tasks have reached the failpoint while it was held.
    pub fn waiting_count(point: &str) -> usize {
        HOLDS.borrow().reached.iter().filter(|name| *name == point).count()
    }

    pub(super) async fn pause(point: Failpoint) {
        if !IN_USE.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("{point:?}");
        let mut holds = HOLDS.subscribe();
        if holds.borrow().held.contains(&name) {
            HOLDS.send_modify(|holds| holds.reached.push(name.clone()));
            // Cannot fail: the sender is never dropped.
            let _ = holds.wait_for(|holds| !holds.held.contains(&name)).await;
        }
    }

    #[expect(clippy::panic, reason = "the test asks for it")]
    pub(super) fn hit(point: Failpoint, detail: &str) {
        if !IN_USE.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("{point:?}");
        let fires = {
            let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            let found = armed.iter_mut().find(|(armed, times)| *armed == name && *times > 0);
            found.map(|(_, times)| *times -= 1).is_some()
        };
        if fires {
            panic!("failpoint {name} near {detail:?}");
        }
    }
}
