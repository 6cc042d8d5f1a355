//! Limits concurrent requests to the model. A question receives a permit immediately or waits in a
//! bounded fair queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::AddressKey;
use crate::llm::resilience::fair_queue::{Admission, FairQueue, QueueFull, Ticket};

/// Limits how many questions are answered at the same time. Shared by all turns; each operation is
/// short, so a mutex is sufficient.
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    queue: Mutex<FairQueue<oneshot::Sender<Permit>>>,
    max_wait: Duration,
}

/// The permission to request an answer. Dropping it passes it to the next question in the queue.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<ConcurrencyLimiter>,
    acquired_at: Instant,
}

/// A permit, or a place in the queue for one. Dropping it releases either.
#[derive(Debug)]
pub struct QueuedPermit {
    limiter: Arc<ConcurrencyLimiter>,
    visitor: AddressKey,
    state: PermitState,
}

#[derive(Debug)]
enum PermitState {
    Acquired { _permit: Permit },
    Waiting { ticket: Ticket, permit: oneshot::Receiver<Permit> },
}

/// The permits in use and the questions that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// The number of permits in use.
    pub in_use: usize,
    /// The number of questions in the queue.
    pub waiting: usize,
}

impl ConcurrencyLimiter {
    /// Returns a limiter with `permits` permits and a queue of at most `max_waiting` questions.
    /// Each question waits at most `max_wait`.
    #[must_use]
    pub fn new(permits: usize, max_waiting: usize, max_wait: Duration) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(FairQueue::new(permits, max_waiting, max_wait)), max_wait })
    }

    /// Acquires a permit or joins the queue.
    ///
    /// # Errors
    /// Returns [`QueueFull`] if the queue is full or the expected wait is too long.
    pub fn acquire(self: &Arc<Self>, visitor: AddressKey) -> Result<QueuedPermit, QueueFull> {
        let (sender, receiver) = oneshot::channel();
        let state = match self.lock().join(visitor, sender)? {
            Admission::Admitted => PermitState::Acquired { _permit: self.permit() },
            Admission::Queued(ticket) => PermitState::Waiting { ticket, permit: receiver },
        };
        Ok(QueuedPermit { limiter: Arc::clone(self), visitor, state })
    }

    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let queue = self.lock();
        Occupancy { in_use: queue.in_use(), waiting: queue.waiting() }
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit { limiter: Arc::clone(self), acquired_at: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<oneshot::Sender<Permit>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueuedPermit {
    /// Returns the position in the queue, counted from 1, or `None` once the permit is available.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match &self.state {
            PermitState::Acquired { .. } => None,
            PermitState::Waiting { ticket, .. } => self.limiter.lock().position(self.visitor, *ticket),
        }
    }

    /// Returns the maximum time to wait for the permit.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        self.limiter.max_wait
    }

    /// Waits for the permit. The future may be dropped and the method called again.
    pub async fn acquired(&mut self) {
        let PermitState::Waiting { permit, .. } = &mut self.state else { return };
        match permit.await {
            Ok(permit) => self.state = PermitState::Acquired { _permit: permit },
            // The queue sends a permit before it drops a sender.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for QueuedPermit {
    fn drop(&mut self) {
        if let PermitState::Waiting { ticket, .. } = &self.state {
            self.limiter.lock().leave(self.visitor, *ticket);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = self.limiter.lock().release(self.acquired_at.elapsed());
        if let Some(next) = next {
            // If the next question has just left, its permit is dropped here and passed on again.
            drop(next.send(self.limiter.permit()));
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
    async fn permit_is_passed_to_the_next_question_that_still_waits() {
        let limiter = ConcurrencyLimiter::new(1, 10, Duration::from_secs(10));
        let first = limiter.acquire(visitor(0)).unwrap();
        let left_early = limiter.acquire(visitor(1)).unwrap();
        let left_after_its_turn = limiter.acquire(visitor(2)).unwrap();
        let mut waiting = limiter.acquire(visitor(3)).unwrap();
        assert_eq!((first.position(), waiting.position()), (None, Some(3)));
        drop(left_early);
        assert_eq!(waiting.position(), Some(2));
        drop(first);
        // Its permit was sent, and it leaves without having received it.
        assert_eq!(left_after_its_turn.position(), None);
        let pending = tokio::time::timeout(Duration::ZERO, waiting.acquired()).await;
        assert!(pending.is_err());
        drop(left_after_its_turn);
        waiting.acquired().await;
        assert_eq!(limiter.occupancy(), Occupancy { in_use: 1, waiting: 0 });
        drop(waiting);
        assert_eq!(limiter.occupancy(), Occupancy { in_use: 0, waiting: 0 });
    }
}
