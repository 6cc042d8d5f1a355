//! Who is connected, so that a session has one live connection and everyone can be told that the server leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::SessionId;
use crate::mailbox::Address;
use crate::session::SessionOrder;

/// Every open connection.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    next_connection: u64,
    /// `None` from admission until the actor has started.
    connections: HashMap<u64, Option<Address<SessionOrder>>>,
    owners: HashMap<SessionId, Owner>,
}

#[derive(Debug)]
struct Owner {
    connection: u64,
    epoch: i64,
}

/// The server is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving;

impl Registry {
    /// An empty registry. How many connections there may be is not its business.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), emptied: Notify::new() })
    }

    /// Takes a place for a connection.
    ///
    /// # Errors
    /// [`Leaving`].
    pub fn admit(self: &Arc<Self>) -> Result<Place, Leaving> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Leaving);
        }
        inner.next_connection += 1;
        let connection = inner.next_connection;
        inner.connections.insert(connection, None);
        Ok(Place { registry: Arc::clone(self), connection, session: None })
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().connections.len()
    }

    /// How many sessions an open connection speaks for.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock().owners.len()
    }

    /// The sessions that open connections speak for.
    #[must_use]
    pub fn owned(&self) -> Vec<SessionId> {
        self.lock().owners.keys().copied().collect()
    }

    /// The store has a session with this epoch: an older connection of it is told to close.
    pub fn succeeded(&self, session: SessionId, epoch: i64) {
        let inner = self.lock();
        let older = inner.owners.get(&session).filter(|owner| owner.epoch < epoch);
        if let Some(Some(actor)) = older.and_then(|owner| inner.connections.get(&owner.connection)) {
            let _ = actor.tell(SessionOrder::ResumedElsewhere);
        }
    }

    /// Resolves when no connection is open.
    pub async fn emptied(&self) {
        let mut emptied = std::pin::pin!(self.emptied.notified());
        while {
            emptied.as_mut().enable();
            self.open() > 0
        } {
            emptied.as_mut().await;
            emptied.set(self.emptied.notified());
        }
    }

    /// Admits nobody any more.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Gives every connection an order. One whose mailbox is full does not get it.
    pub fn broadcast(&self, order: SessionOrder) {
        for actor in self.lock().connections.values().flatten() {
            let _ = actor.tell(order);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; given up when dropped.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    connection: u64,
    session: Option<SessionId>,
}

impl Place {
    /// A number that no other connection of this process has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.connection
    }

    /// The connection's actor has started and takes orders.
    pub fn occupy(&self, actor: Address<SessionOrder>) {
        let mut inner = self.registry.lock();
        if inner.closed {
            let _ = actor.tell(SessionOrder::Draining);
        }
        inner.connections.insert(self.connection, Some(actor));
    }

    /// The connection speaks for this session from now on; an older connection that did is told to close.
    pub fn own(&mut self, session: SessionId, epoch: i64) {
        self.session = Some(session);
        let connection = self.connection;
        let mut inner = self.registry.lock();
        let owner = inner.owners.get(&session).map(|owner| (owner.connection, owner.epoch));
        // Two connections may resume at once: the later in the store's order is the owner.
        let (superseded, owns) = match owner {
            Some((_, later)) if later > epoch => (Some(connection), false),
            Some((earlier, _)) => (Some(earlier), true),
            None => (None, true),
        };
        if owns {
            inner.owners.insert(session, Owner { connection, epoch });
        }
        if let Some(Some(actor)) = superseded.and_then(|connection| inner.connections.get(&connection)) {
            let _ = actor.tell(SessionOrder::ResumedElsewhere);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.connections.remove(&self.connection);
        if inner.connections.is_empty() {
            self.registry.emptied.notify_waiters();
        }
        if let Some(session) = self.session
            && inner.owners.get(&session).is_some_and(|owner| owner.connection == self.connection)
        {
            inner.owners.remove(&session);
        }
    }
}
