//! A place where an answer of the fake OpenRouter stops until the test lets it go on.

use tokio::sync::watch;

use crate::support::within;

/// A place where an answer stops until the test lets it go on.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<GateState>);

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    reached: usize,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(GateState::default()))
    }
}

impl Gate {
    /// Lets everything pass, now and later.
    pub(crate) fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// Waits until an answer stands at the gate, so that all before it is written.
    pub(crate) async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until this many answers came to the gate.
    pub(crate) async fn reached_by(&self, answers: usize) {
        let mut state = self.0.subscribe();
        let reached =
            within("an answer to come to the gate", state.wait_for(|state| state.reached >= answers)).await;
        assert!(reached.is_ok(), "the gate is gone");
    }

    pub(super) async fn pass(&self) {
        self.0.send_modify(|state| state.reached += 1);
        // The error says that the gate is gone; `self` keeps it.
        let _ = self.0.subscribe().wait_for(|state| state.open).await;
    }
}
