//! The open event streams of this instance by connection id, for the frames that clients post.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::ConnectionId;
use crate::session::connection::event_stream::input::FrameQueue;

/// Every open event stream of this instance. The number of connections limits its size.
#[derive(Debug, Default)]
pub struct StreamDirectory {
    queues: Mutex<HashMap<ConnectionId, FrameQueue>>,
}

/// The entry of one event stream, which is removed when this is dropped.
#[derive(Debug)]
pub struct DirectoryEntry {
    directory: Arc<StreamDirectory>,
    id: ConnectionId,
}

impl StreamDirectory {
    /// Adds an event stream.
    #[must_use]
    pub fn insert(self: &Arc<Self>, id: ConnectionId, queue: FrameQueue) -> DirectoryEntry {
        self.lock().insert(id.clone(), queue);
        DirectoryEntry { directory: Arc::clone(self), id }
    }

    /// Returns the queue of an event stream. The hash of the map is keyed, so the time of a lookup
    /// reveals nothing about the ids in it.
    #[must_use]
    pub fn find(&self, id: &ConnectionId) -> Option<FrameQueue> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, FrameQueue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DirectoryEntry {
    fn drop(&mut self) {
        self.directory.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::connection::event_stream::input::channel;

    #[test]
    fn stream_is_found_as_long_as_its_entry_lives() {
        let directory = Arc::new(StreamDirectory::default());
        let id = ConnectionId::generate().unwrap();
        let same = ConnectionId::from_text(id.reveal());
        let entry = directory.insert(id, channel(Vec::new()).1);
        assert!(directory.find(&same).is_some());
        assert!(directory.find(&ConnectionId::generate().unwrap()).is_none());
        drop(entry);
        assert!(directory.find(&same).is_none());
    }
}
