//! The registry of open connections: ensures that each session has one connection, and sends
//! commands to all connections at shutdown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::SessionId;
use crate::mailbox::Address;
use crate::session::messages::SessionCommand;

/// Every open connection of this instance.
#[derive(Debug)]
pub struct Registry {
    state: Mutex<RegistryState>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct RegistryState {
    is_closed: bool,
    last_connection: u64,
    /// `None` until the actor of the connection has started.
    connections: HashMap<u64, Option<Address<SessionCommand>>>,
    owners: HashMap<SessionId, Owner>,
}

/// The connection that serves a session.
#[derive(Debug)]
struct Owner {
    connection: u64,
    epoch: i64,
}

/// The registry is closed because the server is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuttingDown;

impl Registry {
    /// Returns an empty registry. It does not limit the number of connections.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), emptied: Notify::new() })
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the registry is closed.
    pub fn register(self: &Arc<Self>) -> Result<RegistryEntry, ShuttingDown> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(ShuttingDown);
        }
        state.last_connection += 1;
        let connection = state.last_connection;
        state.connections.insert(connection, None);
        Ok(RegistryEntry { registry: Arc::clone(self), connection, session: None })
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.lock().connections.len()
    }

    /// Returns the number of sessions that an open connection serves.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.lock().owners.len()
    }

    /// Returns the sessions that an open connection serves.
    #[must_use]
    pub fn session_ids(&self) -> Vec<SessionId> {
        self.lock().owners.keys().copied().collect()
    }

    /// Closes the connection of a session if its epoch is lower than `epoch`, the epoch of a
    /// connection at another instance.
    pub fn close_older(&self, session: SessionId, epoch: i64) {
        let state = self.lock();
        let older = state.owners.get(&session).filter(|owner| owner.epoch < epoch);
        if let Some(owner) = older {
            state.close_taken_over(owner.connection);
        }
    }

    /// Resolves when no connection is open.
    pub async fn wait_until_empty(&self) {
        let mut emptied = std::pin::pin!(self.emptied.notified());
        while {
            emptied.as_mut().enable();
            self.connection_count() > 0
        } {
            emptied.as_mut().await;
            emptied.set(self.emptied.notified());
        }
    }

    /// Rejects new connections from now on.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Sends a command to every connection whose mailbox has room.
    pub fn broadcast(&self, command: SessionCommand) {
        for actor in self.lock().connections.values().flatten() {
            let _ = actor.tell(command);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryState {
    fn close_taken_over(&self, connection: u64) {
        if let Some(Some(actor)) = self.connections.get(&connection) {
            let _ = actor.tell(SessionCommand::CloseTakenOver);
        }
    }
}

/// The entry of one connection, which is removed when this is dropped.
#[derive(Debug)]
pub struct RegistryEntry {
    registry: Arc<Registry>,
    connection: u64,
    session: Option<SessionId>,
}

impl RegistryEntry {
    /// Returns the number of the connection, which is unique within the process.
    #[must_use]
    pub fn connection_number(&self) -> u64 {
        self.connection
    }

    /// Sets the address of the actor once it has started.
    pub fn set_actor(&self, actor: Address<SessionCommand>) {
        let mut state = self.registry.lock();
        if state.is_closed {
            let _ = actor.tell(SessionCommand::AnnounceShutdown);
        }
        state.connections.insert(self.connection, Some(actor));
    }

    /// Makes this connection the owner of a session, and closes the connection with the lower
    /// epoch.
    pub fn claim_session(&mut self, session: SessionId, epoch: i64) {
        self.session = Some(session);
        let connection = self.connection;
        let mut state = self.registry.lock();
        let owner = state.owners.get(&session).map(|owner| (owner.connection, owner.epoch));
        // Two connections can resume a session at the same time: the one with the higher epoch
        // wins.
        let (taken_over, is_owner) = match owner {
            Some((_, newer)) if newer > epoch => (Some(connection), false),
            Some((older, _)) => (Some(older), true),
            None => (None, true),
        };
        if is_owner {
            state.owners.insert(session, Owner { connection, epoch });
        }
        if let Some(connection) = taken_over {
            state.close_taken_over(connection);
        }
    }
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.connections.remove(&self.connection);
        if state.connections.is_empty() {
            self.registry.emptied.notify_waiters();
        }
        if let Some(session) = self.session
            && state.owners.get(&session).is_some_and(|owner| owner.connection == self.connection)
        {
            state.owners.remove(&session);
        }
    }
}
