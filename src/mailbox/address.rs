//! Sends messages to an actor, and measures how long they wait and how long their replies take.

use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender, SendError, ToEnvelope};
use actix::{Actor, Addr, Handler, MailboxError, Message, Recipient};
// Reads the cycle counter of the processor where that is steady: reading the clock is most of the
// cost of measuring.
use quanta::Instant;
use thiserror::Error;

use super::{Handle, Mailbox, Reply};
use crate::system::panics::catch_panic;
use crate::telemetry::mailbox_metrics::{MailboxMetrics, MailboxRegistry};

/// The address of an actor for one type of message.
pub struct Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<Envelope<M>>,
    metrics: &'static MailboxMetrics,
}

/// A request received no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// The timeout elapsed. If the actor had not started to handle the message, it never does.
    #[error("no reply came in time")]
    Timeout,
    /// The actor panicked while handling the message, or has stopped.
    #[error("the actor failed")]
    Closed,
}

/// A message did not enter the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TellError {
    /// The mailbox is at its capacity.
    #[error("the mailbox is full")]
    Full,
    /// The actor has stopped.
    #[error("the actor is gone")]
    Closed,
}

impl<M> Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Returns the address of an actor for messages of type `M`.
    #[must_use]
    pub fn new<A>(actor: &Addr<A>, mailboxes: &MailboxRegistry) -> Self
    where
        A: Handle<M> + Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
    {
        Self {
            recipient: actor.clone().recipient(),
            metrics: mailboxes.get_or_create::<M>(A::NAME, A::CAPACITY),
        }
    }

    /// Sends a message now, and resolves to its reply. If the mailbox is full, the message waits
    /// for room.
    ///
    /// # Errors
    /// [`AskError`], at the latest after `timeout`.
    pub fn ask(
        &self,
        message: M,
        timeout: Duration,
    ) -> impl Future<Output = Result<M::Result, AskError>> + use<M> {
        let metrics = self.metrics;
        let reply = self.recipient.send(Envelope::new(message, metrics));
        // Not actix's own timeout, which does not run while the message waits for room.
        let reply = tokio::time::timeout(timeout, reply);
        async move {
            match reply.await {
                Ok(Ok(reply)) => Ok(reply),
                Err(_) | Ok(Err(MailboxError::Timeout)) => {
                    metrics.record_timeout();
                    Err(AskError::Timeout)
                }
                Ok(Err(MailboxError::Closed)) => {
                    metrics.record_closed();
                    Err(AskError::Closed)
                }
            }
        }
    }

    /// Sends a message if the mailbox has room, and ignores its reply.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn tell(&self, message: M) -> Result<(), TellError> {
        let envelope = Envelope::new(message, self.metrics);
        self.recipient.try_send(envelope).map_err(|error| match error {
            SendError::Full(_) => {
                self.metrics.record_full();
                TellError::Full
            }
            SendError::Closed(_) => {
                self.metrics.record_closed();
                TellError::Closed
            }
        })
    }
}

impl<M> Clone for Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone(), metrics: self.metrics }
    }
}

impl<M> std::fmt::Debug for Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.metrics.actor).field(&self.metrics.message).finish()
    }
}

/// A message in a mailbox.
#[derive(Debug)]
pub struct Envelope<M> {
    message: M,
    timer: Timer,
}

/// Measures a message: first how long it waits, then how long its reply takes.
#[derive(Debug)]
struct Timer {
    metrics: &'static MailboxMetrics,
    /// When the current phase began.
    since: Instant,
    is_opened: bool,
}

impl<M> Envelope<M> {
    fn new(message: M, metrics: &'static MailboxMetrics) -> Self {
        metrics.record_enqueued();
        Self { message, timer: Timer { metrics, since: Instant::now(), is_opened: false } }
    }

    /// Passes the message to `handle`. Called by the handler that
    /// [`impl_mailbox!`](crate::impl_mailbox) generates.
    pub fn open<T>(self, handle: impl FnOnce(M) -> Reply<T>) -> Handled<T> {
        let Self { message, mut timer } = self;
        timer.start_processing();
        Handled { reply: handle(message), timer }
    }
}

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
}

impl Timer {
    fn start_processing(&mut self) {
        let now = Instant::now();
        self.metrics.record_dequeued(now.duration_since(self.since));
        self.is_opened = true;
        self.since = now;
    }

    fn reply_sent(&self) {
        self.metrics.record_processed(self.since.elapsed());
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.is_opened {
            self.metrics.record_dropped();
        }
    }
}

/// A message that was handled, with its reply.
pub struct Handled<T> {
    reply: Reply<T>,
    timer: Timer,
}

impl<A, M> MessageResponse<A, Envelope<M>> for Handled<M::Result>
where
    A: Actor + Mailbox,
    M: Message,
{
    fn handle(self, _: &mut A::Context, caller: Option<OneshotSender<M::Result>>) {
        let Self { reply, timer } = self;
        match reply {
            Reply::Now(reply) => {
                timer.reply_sent();
                send_reply(caller, reply);
            }
            Reply::Later(reply) => {
                actix::spawn(async move {
                    // After a panic the sender is dropped, so the caller receives an error.
                    let Ok(reply) = catch_panic(A::COMPONENT, reply).await else { return };
                    timer.reply_sent();
                    send_reply(caller, reply);
                });
            }
        }
    }
}

fn send_reply<T>(caller: Option<OneshotSender<T>>, reply: T) {
    if let Some(caller) = caller {
        // Fails if the caller has timed out.
        let _ = caller.send(reply);
    }
}
