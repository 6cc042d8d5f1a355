//! Whose a session is, in the store's words: another server on the same store may have given it to a later connection.
//!
//! Within one server the [`Registry`] knows at once. Of others only the epoch in the store tells, so it is looked up now and
//! then for all sessions together, and at once for a session whose writing was refused.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use tokio::time::{MissedTickBehavior, interval};

use crate::mailbox::Address;
use crate::persistence::PATIENCE;
use crate::persistence::messages::FindEpochs;
use crate::protocol::close_codes::CloseReason;
use crate::session::SessionActor;
use crate::session::connection::socket::SocketContext;
use crate::session::registry::Registry;

/// How long an older connection may not know that a later one was opened at another server.
const INTERVAL: Duration = Duration::from_secs(5);

/// Sessions looked up by one query.
const BATCH: usize = 500;

/// Has every connection closed whose session was resumed at another server. Goes on for ever; while the store is away it
/// changes nothing.
pub async fn watch(registry: &Registry, find_epochs: &Address<FindEpochs>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sessions = registry.owned();
        for batch in sessions.chunks(BATCH) {
            let found = find_epochs.ask(FindEpochs { sessions: batch.to_vec() }, PATIENCE).await;
            let Ok(Ok(epochs)) = found else { break };
            for (session, epoch) in epochs {
                registry.succeeded(session, epoch);
            }
        }
    }
}

impl SessionActor {
    /// The store did not take what this connection wrote. Closes it if a later one has the session; otherwise the session is gone.
    pub(crate) fn look_whether_succeeded(&self, ctx: &mut SocketContext) {
        let Some(open) = &self.open else { return };
        let (session, epoch) = (open.id, open.conversation.epoch());
        let found =
            self.surroundings.neighbours.find_epochs.ask(FindEpochs { sessions: vec![session] }, PATIENCE);
        ctx.wait(found.into_actor(self).map(move |found, actor, ctx| {
            let Ok(Ok(epochs)) = found else { return };
            if epochs.iter().any(|(_, stored)| *stored > epoch) {
                actor.leave(CloseReason::ResumedElsewhere, ctx);
            }
        }));
    }
}
