//! How a panic is seen: where it happened, and as much of its message as was written in the source.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use slog::{KV, Record, Serializer};

use crate::domain::component::Component;

thread_local! {
    /// Whose code this thread is running, if somebody catches its panics.
    static RUNNING: Cell<Option<Component>> = const { Cell::new(None) };
    /// What the hook saw last on this thread, for who catches it.
    static SEEN: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// A panic, as far as it may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// File, line and column.
    at: Arc<str>,
    /// `None` for one that was put together when it panicked: it may quote what a visitor wrote.
    message: Option<&'static str>,
}

impl Panic {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let at = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        Self { at: at.into(), message: info.payload().downcast_ref::<&'static str>().copied() }
    }

    /// One that no hook has seen.
    fn unseen() -> Self {
        Self { at: "an unknown place".into(), message: None }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a panic at {}: {}", self.at, self.message.unwrap_or("(message not shown)"))
    }
}

/// In a line of the log.
impl KV for Panic {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_str("at", &self.at)?;
        // It may quote what a visitor wrote.
        serializer.emit_str("panic", self.message.unwrap_or("(message not shown)"))
    }
}

/// Calls `note` in a thread that panics, before anything of it is unwound, in the place of what the standard library
/// writes to standard error.
pub(super) fn on_panic(note: impl Fn(Component, Panic) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        let panic = Panic::of(info);
        // At the very end of a thread there is nothing left to remember it in.
        let part = RUNNING.try_with(Cell::get).ok().flatten();
        let _ = SEEN.try_with(|seen| seen.replace(Some(panic.clone())));
        note(part.unwrap_or(Component::Other), panic);
    }));
}

/// Runs `work` of this part.
///
/// # Errors
/// Its panic.
pub fn catch<T>(part: Component, work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = RUNNING.replace(Some(part));
    // What is left half done is not looked at again: its owner is dropped or made anew.
    let result = catch_unwind(AssertUnwindSafe(work));
    RUNNING.set(outer);
    result.map_err(|_| SEEN.take().unwrap_or_else(Panic::unseen))
}

/// Runs a future of this part. It is dropped when it has panicked.
///
/// # Errors
/// Its panic.
pub async fn caught<T>(part: Component, future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch(part, || future.as_mut().poll(cx)) {
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
    fn a_panic_is_told_by_its_place_and_by_words_of_the_source_alone() {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&noted);
        let before = std::panic::take_hook();
        on_panic(move |part, panic| notes.lock().unwrap().push((part, panic)));
        let quoted = "what a visitor wrote é";
        let plain = catch(Component::Llm, || panic!("written here")).unwrap_err();
        let sliced = catch(Component::Session, || quoted.split_at(22).0.len()).unwrap_err();
        let inner =
            catch(Component::Llm, || catch(Component::Answer, || panic!("inside"))).unwrap().unwrap_err();
        let after = catch(Component::Llm, || 7);
        std::panic::set_hook(before);
        assert_eq!(after, Ok(7));
        assert!(plain.to_string().contains("panics.rs:") && plain.to_string().ends_with("written here"));
        assert!(!sliced.to_string().contains("visitor") && sliced.to_string().contains("not shown"));
        // Other tests may panic meanwhile.
        let noted = noted.lock().unwrap();
        for expected in [(Component::Llm, plain), (Component::Session, sliced), (Component::Answer, inner)] {
            assert!(noted.contains(&expected), "{expected:?} is not in {noted:?}");
        }
    }
}
