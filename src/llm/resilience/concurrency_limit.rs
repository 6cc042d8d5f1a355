//! The way to the model: a place at once, or a wait in a line that is fair and bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::AddressKey;
use crate::llm::resilience::fair_queue::{FairQueue, Joined, LineTooLong, Ticket};

/// Hands out the places at the model. Shared by all answers; every decision is short, so a lock serves.
#[derive(Debug)]
pub struct Admission {
    queue: Mutex<FairQueue<oneshot::Sender<Place>>>,
    patience: Duration,
}

/// A place at the model, given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    since: Instant,
}

/// A place, or the wait for one; left when dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    visitor: AddressKey,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Holds { _place: Place },
    Waits(Ticket, oneshot::Receiver<Place>),
}

impl Admission {
    /// So many places, a line of at most so many, each of whom waits at most so long.
    #[must_use]
    pub fn new(places: usize, most_waiting: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(FairQueue::new(places, most_waiting, patience)), patience })
    }

    /// Takes a place or joins the line.
    ///
    /// # Errors
    /// [`LineTooLong`].
    pub fn join(self: &Arc<Self>, visitor: AddressKey) -> Result<Admitted, LineTooLong> {
        let (tell, told) = oneshot::channel();
        let stage = match self.lock().join(visitor, tell)? {
            Joined::AtOnce => Stage::Holds { _place: self.place() },
            Joined::Waits(ticket) => Stage::Waits(ticket, told),
        };
        Ok(Admitted { admission: Arc::clone(self), visitor, stage })
    }

    /// How many hold a place, and how many wait.
    #[must_use]
    pub fn occupancy(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.taken(), queue.waiting())
    }

    fn place(self: &Arc<Self>) -> Place {
        Place { admission: Arc::clone(self), since: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<oneshot::Sender<Place>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The position in the line, from 1; `None` when its turn has come.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match &self.stage {
            Stage::Holds { .. } => None,
            Stage::Waits(ticket, _) => self.admission.lock().position(self.visitor, *ticket),
        }
    }

    /// How long one should wait.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.admission.patience
    }

    /// Resolves when its turn has come. May be dropped and called again.
    pub async fn turn(&mut self) {
        let Stage::Waits(_, told) = &mut self.stage else { return };
        match told.await {
            Ok(place) => self.stage = Stage::Holds { _place: place },
            // Whoever is next is told before its sender is dropped.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Stage::Waits(ticket, _) = &self.stage {
            self.admission.lock().leave(self.visitor, *ticket);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.admission.lock().give_back(self.since.elapsed());
        if let Some(next) = next {
            // One that has just left hands its place on: it is dropped here.
            drop(next.send(self.admission.place()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn visitor(number: u8) -> AddressKey {
        AddressKey::from_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    #[tokio::test]
    async fn a_place_goes_on_to_who_still_waits_for_it() {
        let admission = Admission::new(1, 10, Duration::from_secs(10));
        let first = admission.join(visitor(0)).unwrap();
        let gone = admission.join(visitor(1)).unwrap();
        let told_and_gone = admission.join(visitor(2)).unwrap();
        let mut waits = admission.join(visitor(3)).unwrap();
        assert_eq!((first.position(), waits.position()), (None, Some(3)));
        drop(gone);
        assert_eq!(waits.position(), Some(2));
        drop(first);
        // Its turn has come, and it leaves without having noticed.
        assert_eq!(told_and_gone.position(), None);
        let never = tokio::time::timeout(Duration::ZERO, waits.turn()).await;
        assert!(never.is_err());
        drop(told_and_gone);
        waits.turn().await;
        assert_eq!(admission.occupancy(), (1, 0));
        drop(waits);
        assert_eq!(admission.occupancy(), (0, 0));
    }
}
