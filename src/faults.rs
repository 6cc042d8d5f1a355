//! Faults on order: places in the code where a test can make the server panic.
//!
//! They exist in builds with the feature `fault-injection` alone, which only the tests turn on (the development dependency
//! of this package on itself in `Cargo.toml`). In every other build [`pass`] is an empty function.

/// A place where a test can have a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
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
pub fn pass(point: Point, quoting: &str) {
    #[cfg(feature = "fault-injection")]
    armed::pass(point, quoting);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (point, quoting);
}

#[cfg(feature = "fault-injection")]
pub use armed::arm;

#[cfg(feature = "fault-injection")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    use super::Point;

    /// What is to panic, and how often. The tests' server is a process of its own.
    static ARMED: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());

    /// The next so many passes of the point with this name panic.
    pub fn arm(point: &str, times: u32) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        armed.retain(|(name, _)| name != point);
        armed.push((point.to_owned(), times));
    }

    #[expect(clippy::panic, reason = "it is what was asked for")]
    pub(super) fn pass(point: Point, quoting: &str) {
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
