//! What is counted of messages: how many wait, for how long, and how long their replies take.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::histogram::LogHistogram;

/// The meters of every kind of message in every kind of actor's mailbox.
#[derive(Debug, Default)]
pub struct MailboxRegistry {
    meters: Mutex<BTreeMap<(&'static str, &'static str), &'static MailboxMetrics>>,
}

/// What is known of one kind of message in the mailboxes of one kind of actor.
#[derive(Debug)]
pub struct MailboxMetrics {
    /// The kind of actor.
    pub actor: &'static str,
    /// The kind of message: the name of its type.
    pub message: &'static str,
    /// Messages of any kind that may wait for each such actor.
    pub capacity: usize,
    sent: SenderSide,
    received: ReceiverSide,
}

/// Written by senders. In a cache line of its own, because the actor works on another thread.
#[derive(Debug, Default)]
#[repr(align(64))]
struct SenderSide {
    posted: AtomicU64,
    full: AtomicU64,
    closed: AtomicU64,
    timed_out: AtomicU64,
}

/// Written by the actor.
#[derive(Debug, Default)]
#[repr(align(64))]
struct ReceiverSide {
    taken_back: AtomicU64,
    waits: LogHistogram,
    services: LogHistogram,
}

impl MailboxRegistry {
    /// Returns the metrics of one message type in the mailboxes of one actor type, which is created
    /// on first use. `capacity` is the capacity of each of those mailboxes, in messages of any type.
    #[must_use]
    pub fn get_or_create<M>(&self, actor: &'static str, capacity: usize) -> &'static MailboxMetrics {
        let message = short_name::<M>();
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.entry((actor, message)).or_insert_with(|| {
            let (sent, received) = (SenderSide::default(), ReceiverSide::default());
            let meter = MailboxMetrics { actor, message, capacity, sent, received };
            // One for each message type, for the life of the process. Reference counting would cost
            // each message more than the counters do.
            Box::leak(Box::new(meter))
        })
    }

    /// Every meter, by actor and message.
    #[must_use]
    pub fn meters(&self) -> Vec<&'static MailboxMetrics> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// Every kind of actor that has a mailbox.
    #[must_use]
    pub fn actors(&self) -> Vec<&'static str> {
        let mut actors: Vec<_> = self.meters().iter().map(|meter| meter.actor).collect();
        actors.dedup();
        actors
    }

    /// Messages of any kind that wait for actors of this kind.
    #[must_use]
    pub fn depth_of(&self, actor: &str) -> u64 {
        self.meters().iter().filter(|meter| meter.actor == actor).map(|meter| meter.depth()).sum()
    }
}

impl MailboxMetrics {
    pub(crate) fn posted(&self) {
        self.sent.posted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected_as_full(&self) {
        self.sent.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected_as_closed(&self) {
        self.sent.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn timed_out(&self) {
        self.sent.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken_back(&self) {
        self.received.taken_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self, waited: Duration) {
        self.received.waits.record(waited);
    }

    pub(crate) fn answered(&self, took: Duration) {
        self.received.services.record(took);
    }

    /// Messages posted, whatever became of them.
    #[must_use]
    pub fn enqueued(&self) -> u64 {
        self.sent.posted.load(Ordering::Relaxed)
    }

    /// Messages that found the mailbox full and did not wait.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.sent.full.load(Ordering::Relaxed)
    }

    /// Messages that found the actor gone, or whose reply went with it.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.sent.closed.load(Ordering::Relaxed)
    }

    /// Askers that lost their patience.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.sent.timed_out.load(Ordering::Relaxed)
    }

    /// Messages posted that were neither taken nor dropped yet.
    #[must_use]
    pub fn depth(&self) -> u64 {
        // In this order, so that a message on its way is counted rather too much than below nothing.
        let gone = self.received.taken_back.load(Ordering::Relaxed) + self.waits().count();
        self.enqueued().saturating_sub(gone)
    }

    /// From posted to taken.
    #[must_use]
    pub fn waits(&self) -> &LogHistogram {
        &self.received.waits
    }

    /// From taken to answered.
    #[must_use]
    pub fn services(&self) -> &LogHistogram {
        &self.received.services
    }
}

/// The name of a type without its path.
fn short_name<M>() -> &'static str {
    let path = std::any::type_name::<M>();
    path.rsplit("::").next().unwrap_or(path)
}
