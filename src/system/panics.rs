//! Catches panics and describes them without text of visitors.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use slog::{KV, Record, Serializer};

use crate::domain::component::Component;

thread_local! {
    /// The component whose code this thread is running, if its panics are caught.
    static RUNNING: Cell<Option<Component>> = const { Cell::new(None) };
    /// The last panic of this thread, from the hook to the code that catches it.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// What may be logged of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// File, line and column.
    at: Arc<str>,
    /// `None` for a message that was formatted at run time: it can quote what a visitor wrote.
    message: Option<&'static str>,
}

impl Panic {
    fn from_hook(info: &PanicHookInfo<'_>) -> Self {
        let at = info.location().map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
        Self { at: at.into(), message: info.payload().downcast_ref::<&'static str>().copied() }
    }

    /// Returns the description of a panic for which no hook ran.
    fn unknown() -> Self {
        Self { at: "an unknown location".into(), message: None }
    }

    fn message(&self) -> &'static str {
        self.message.unwrap_or("(message not shown)")
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a panic at {}: {}", self.at, self.message())
    }
}

/// Adds the fields `at` and `panic` to a log line.
impl KV for Panic {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_str("at", &self.at)?;
        serializer.emit_str("panic", self.message())
    }
}

/// Replaces the panic hook. `record` runs in the panicking thread before it unwinds.
pub(crate) fn set_panic_hook(record: impl Fn(Component, Panic) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        let panic = Panic::from_hook(info);
        // The thread-local values are gone already if the thread is about to end.
        let component = RUNNING.try_with(Cell::get).ok().flatten();
        let _ = LAST.try_with(|last| last.replace(Some(panic.clone())));
        record(component.unwrap_or(Component::Other), panic);
    }));
}

/// Runs code of a component.
///
/// # Errors
/// The panic, if `work` panics.
pub fn catch_panic_sync<T>(component: Component, work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = RUNNING.replace(Some(component));
    // Values that a panic leaves in an inconsistent state are not used again: their owner is
    // dropped or restarted.
    let result = catch_unwind(AssertUnwindSafe(work));
    RUNNING.set(outer);
    result.map_err(|_| LAST.take().unwrap_or_else(Panic::unknown))
}

/// Runs a future of a component.
///
/// # Errors
/// The panic, if the future panics.
pub async fn catch_panic<T>(component: Component, future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_panic_sync(component, || future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn panic_is_described_by_its_location_and_only_by_literals() {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&recorded);
        let previous = std::panic::take_hook();
        set_panic_hook(move |component, panic| sink.lock().unwrap().push((component, panic)));
        let quoted = "what a visitor wrote é";
        let plain = catch_panic_sync(Component::Llm, || panic!("written here")).unwrap_err();
        let sliced = catch_panic_sync(Component::Session, || quoted.split_at(22).0.len()).unwrap_err();
        let inner =
            catch_panic_sync(Component::Llm, || catch_panic_sync(Component::Answer, || panic!("inside")))
                .unwrap()
                .unwrap_err();
        let after = catch_panic_sync(Component::Llm, || 7);
        std::panic::set_hook(previous);
        assert_eq!(after, Ok(7));
        assert!(plain.to_string().contains("panics.rs:") && plain.to_string().ends_with("written here"));
        assert!(!sliced.to_string().contains("visitor") && sliced.to_string().contains("not shown"));
        // Other tests can panic at the same time.
        let recorded = recorded.lock().unwrap();
        for expected in [(Component::Llm, plain), (Component::Session, sliced), (Component::Answer, inner)] {
            assert!(recorded.contains(&expected), "{expected:?} is not in {recorded:?}");
        }
    }
}
