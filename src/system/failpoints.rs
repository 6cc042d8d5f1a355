//! Faults on order: places in the code where a test can make the server panic, or hold it up.
//!
//! They exist in builds with the feature `fault-injection` alone, which only the tests turn on (the development dependency
//! of this package on itself in `Cargo.toml`). In every other build [`hit`] and [`pause`] are empty functions.

/// A place where a test can have a panic or a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// A session reads a frame.
    SessionText,
    /// A session is given an order.
    SessionOrder,
    /// A session tells of an answer.
    SessionProgress,
    /// The model's actor takes a question.
    LlmAsk,
    /// The model's actor looks for an answer.
    LlmFind,
    /// The model's actor looks through its answers.
    LlmSweep,
    /// The task of an answer begins.
    AnswerTask,
    /// The task of an answer is about to store it.
    AnswerConclude,
    /// The store's actor takes a new session.
    PersistenceCreate,
    /// A reply of the store's actor is waited for.
    PersistenceReply,
    /// Something is read from the database.
    PersistenceRead,
    /// Something was read from the database, and is not told yet.
    PersistenceHasRead,
    /// The writer has a group in hand.
    WriterGroup,
    /// A group is written and not committed.
    WriterCommit,
    /// A group is committed and nobody knows.
    WriterCommitted,
    /// The health actor is asked.
    HealthReceive,
    /// The health actor asks the others.
    HealthCheck,
    /// The watchdog looks at its marks.
    WatchdogLook,
    /// A request over HTTP is answered.
    HttpHealth,
}

/// Panics here if a test has asked for it. The message has `quoting` in it, as that of a real panic might.
#[inline]
pub fn hit(point: Failpoint, quoting: &str) {
    #[cfg(feature = "fault-injection")]
    armed::hit(point, quoting);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (point, quoting);
}

/// Waits here while a test has the point held.
#[inline]
pub async fn pause(point: Failpoint) {
    #[cfg(feature = "fault-injection")]
    armed::pause(point).await;
    #[cfg(not(feature = "fault-injection"))]
    let _ = point;
}

#[cfg(feature = "fault-injection")]
pub use armed::{arm, hold, lingering, release};

#[cfg(feature = "fault-injection")]
mod armed {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use tokio::sync::watch;

    use crate::system::failpoints::Failpoint;

    /// What is to panic, and how often. The tests' server is a process of its own.
    static ARMED: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());

    /// Whether anything was ever asked for: where nothing was, as when speed is measured, a pass costs next to nothing.
    static ASKED_FOR: AtomicBool = AtomicBool::new(false);

    /// The next so many passes of the point with this name panic.
    pub fn arm(point: &str, times: u32) {
        ASKED_FOR.store(true, Ordering::SeqCst);
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        armed.retain(|(name, _)| name != point);
        armed.push((point.to_owned(), times));
    }

    /// The points that are held, and those at which somebody waits.
    static HELD: LazyLock<watch::Sender<(Vec<String>, Vec<String>)>> = LazyLock::new(watch::Sender::default);

    /// Whoever comes to the point with this name waits there.
    pub fn hold(point: &str) {
        ASKED_FOR.store(true, Ordering::SeqCst);
        HELD.send_modify(|(held, _)| held.push(point.to_owned()));
    }

    /// Lets everybody at the point with this name go on.
    pub fn release(point: &str) {
        HELD.send_modify(|(held, _)| held.retain(|name| name != point));
    }

    /// How many have come to wait at the point with this name.
    pub fn lingering(point: &str) -> usize {
        HELD.borrow().1.iter().filter(|name| *name == point).count()
    }

    pub(super) async fn pause(point: Failpoint) {
        if !ASKED_FOR.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("{point:?}");
        let mut held = HELD.subscribe();
        if held.borrow().0.contains(&name) {
            HELD.send_modify(|(_, lingering)| lingering.push(name.clone()));
            // The sender is a static, which does not go.
            let _ = held.wait_for(|(held, _)| !held.contains(&name)).await;
        }
    }

    #[expect(clippy::panic, reason = "it is what was asked for")]
    pub(super) fn hit(point: Failpoint, quoting: &str) {
        if !ASKED_FOR.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("{point:?}");
        let fires = {
            let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            let found = armed.iter_mut().find(|(armed, times)| *armed == name && *times > 0);
            found.map(|(_, times)| *times -= 1).is_some()
        };
        if fires {
            panic!("asked for at {name}, near {quoting:?}");
        }
    }
}
