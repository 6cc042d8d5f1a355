//! Metrics of mailboxes: queue depth, waiting time and processing time per message type.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::histogram::LogHistogram;

/// The metrics of all message types of all actor types.
#[derive(Debug, Default)]
pub struct MailboxRegistry {
    metrics: Mutex<BTreeMap<(&'static str, &'static str), &'static MailboxMetrics>>,
}

/// The metrics of one message type in the mailboxes of one actor type.
#[derive(Debug)]
pub struct MailboxMetrics {
    /// The actor type.
    pub actor: &'static str,
    /// The name of the message type.
    pub message: &'static str,
    /// The capacity of each mailbox, in messages of any type.
    pub capacity: usize,
    sender: SenderCounters,
    receiver: ReceiverCounters,
}

/// Written by senders. Has its own cache line, because the actor runs on another thread.
#[derive(Debug, Default)]
#[repr(align(64))]
struct SenderCounters {
    enqueued: AtomicU64,
    full: AtomicU64,
    closed: AtomicU64,
    timeouts: AtomicU64,
}

/// Written by the actor.
#[derive(Debug, Default)]
#[repr(align(64))]
struct ReceiverCounters {
    dropped: AtomicU64,
    wait_times: LogHistogram,
    processing_times: LogHistogram,
}

impl MailboxRegistry {
    /// Returns the metrics of one message type in the mailboxes of one actor type. Creates them on
    /// first use. `capacity` is the capacity of each mailbox, in messages of any type.
    #[must_use]
    pub fn get_or_create<M>(&self, actor: &'static str, capacity: usize) -> &'static MailboxMetrics {
        let message = short_name::<M>();
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.entry((actor, message)).or_insert_with(|| {
            let (sender, receiver) = (SenderCounters::default(), ReceiverCounters::default());
            // One per message type for the lifetime of the process. Reference counting would cost
            // each message more than the counters do.
            Box::leak(Box::new(MailboxMetrics { actor, message, capacity, sender, receiver }))
        })
    }

    /// Returns all metrics, sorted by actor and message type.
    #[must_use]
    pub fn all(&self) -> Vec<&'static MailboxMetrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// Returns the actor types that have a mailbox.
    #[must_use]
    pub fn actors(&self) -> Vec<&'static str> {
        let mut actors: Vec<_> = self.all().iter().map(|metrics| metrics.actor).collect();
        actors.dedup();
        actors
    }

    /// Returns the number of queued messages of one actor type.
    #[must_use]
    pub fn depth_of(&self, actor: &str) -> u64 {
        self.all().iter().filter(|metrics| metrics.actor == actor).map(|metrics| metrics.depth()).sum()
    }
}

impl MailboxMetrics {
    pub(crate) fn record_enqueued(&self) {
        self.sender.enqueued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_full(&self) {
        self.sender.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_closed(&self) {
        self.sender.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_timeout(&self) {
        self.sender.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_dropped(&self) {
        self.receiver.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_dequeued(&self, waited: Duration) {
        self.receiver.wait_times.record(waited);
    }

    pub(crate) fn record_processed(&self, took: Duration) {
        self.receiver.processing_times.record(took);
    }

    /// Returns the number of messages sent, including those that were rejected or dropped later.
    #[must_use]
    pub fn enqueued(&self) -> u64 {
        self.sender.enqueued.load(Ordering::Relaxed)
    }

    /// Returns the number of messages that were rejected because the mailbox was full.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.sender.full.load(Ordering::Relaxed)
    }

    /// Returns the number of messages whose actor had ended, or ended before it replied.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.sender.closed.load(Ordering::Relaxed)
    }

    /// Returns the number of requests whose sender stopped waiting for the reply.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.sender.timeouts.load(Ordering::Relaxed)
    }

    /// Returns the number of queued messages.
    #[must_use]
    pub fn depth(&self) -> u64 {
        // Read in this order, so that a concurrent message makes the result too high rather than
        // negative.
        let removed = self.receiver.dropped.load(Ordering::Relaxed) + self.wait_times().count();
        self.enqueued().saturating_sub(removed)
    }

    /// Returns the times from sending a message to its processing.
    #[must_use]
    pub fn wait_times(&self) -> &LogHistogram {
        &self.receiver.wait_times
    }

    /// Returns the times from the start of processing to the reply.
    #[must_use]
    pub fn processing_times(&self) -> &LogHistogram {
        &self.receiver.processing_times
    }
}

/// Returns the name of a type without its path.
fn short_name<M>() -> &'static str {
    let path = std::any::type_name::<M>();
    path.rsplit("::").next().unwrap_or(path)
}
