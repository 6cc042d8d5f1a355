//! Closes connections whose session was taken over by a connection at another instance.
//!
//! The [`Registry`] detects a takeover within one instance immediately. A takeover at another
//! instance is visible only as a higher epoch in the store. The store is therefore polled for all
//! sessions together, and read immediately for a session whose write was rejected.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::mailbox::Address;
use crate::persistence::STORE_TIMEOUT;
use crate::persistence::messages::FindEpochs;
use crate::protocol::close_codes::CloseReason;
use crate::session::actor::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::registry::Registry;

/// How often the store is polled. For this long, two connections of a session can be open.
const INTERVAL: Duration = Duration::from_secs(5);

/// The maximum number of sessions that one query looks up.
const BATCH: usize = 500;

/// Polls the store forever, and closes the connections whose session was taken over. Does nothing
/// while the store is unavailable.
pub async fn watch(registry: &Registry, find_epochs: &Address<FindEpochs>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sessions = registry.session_ids();
        for batch in sessions.chunks(BATCH) {
            let found = find_epochs.ask(FindEpochs { sessions: batch.to_vec() }, STORE_TIMEOUT).await;
            let Ok(Ok(epochs)) = found else { break };
            for (session, epoch) in epochs {
                registry.close_older(session, epoch);
            }
        }
    }
}

impl SessionActor {
    /// Closes the connection if its session was taken over. Called after the store has rejected a
    /// write; otherwise the session was deleted.
    pub(crate) fn check_takeover(&self, ctx: &mut SocketContext) {
        let Some(session) = &self.session else { return };
        let (session_id, epoch) = (session.id(), session.epoch());
        let find = FindEpochs { sessions: vec![session_id] };
        let found = self.context.actors.find_epochs.ask(find, STORE_TIMEOUT);
        self.wait_for(found, ctx, move |actor, found, ctx| {
            let Ok(Ok(epochs)) = found else { return };
            if epochs.iter().any(|(_, stored)| *stored > epoch) {
                actor.close(CloseReason::TakenOver, ctx);
            }
        });
    }
}
