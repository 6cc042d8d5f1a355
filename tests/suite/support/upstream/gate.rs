//! A gate that holds an answer of the fake OpenRouter until the test opens it.

use tokio::sync::watch;

use crate::support::within;

/// A point at which answers wait until the test opens the gate. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<GateState>);

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    arrivals: usize,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(GateState::default()))
    }
}

impl Gate {
    /// Lets waiting and future answers pass.
    pub(crate) fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// Waits until an answer arrives at the gate, so that everything before it is written.
    pub(crate) async fn wait_until_reached(&self) {
        self.wait_until_reached_by(1).await;
    }

    /// Waits until this many answers have arrived at the gate.
    pub(crate) async fn wait_until_reached_by(&self, answers: usize) {
        let mut state = self.0.subscribe();
        let reached =
            within("an answer to arrive at the gate", state.wait_for(|state| state.arrivals >= answers))
                .await;
        assert!(reached.is_ok(), "the gate was dropped");
    }

    pub(super) async fn pass(&self) {
        self.0.send_modify(|state| state.arrivals += 1);
        // Cannot fail, because `self` keeps the sender alive.
        let _ = self.0.subscribe().wait_for(|state| state.open).await;
    }
}
