//! The way of a message: posted by a neighbour, taken by an actor, answered.

use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender, SendError, ToEnvelope};
use actix::{Actor, Addr, Handler, MailboxError, Message, Recipient};
// The processor's own counter where it is steady, the system's clock elsewhere: a reading is what measuring mostly costs.
use quanta::Instant;
use thiserror::Error;

use super::{Handle, Mailbox, Reply};
use crate::supervision::caught;
use crate::telemetry::mailbox_metrics::{MailboxMetrics, MailboxRegistry};

/// A neighbour that takes messages of one kind.
pub struct Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<Envelope<M>>,
    meter: &'static MailboxMetrics,
}

/// No reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// The asker's patience ended. The message was taken back if the actor had not come to it yet.
    #[error("no reply came in time")]
    Timeout,
    /// The actor panicked over the message and was made anew, or does not exist any more.
    #[error("the actor failed")]
    Closed,
}

/// The message was not taken into the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TellError {
    /// As many messages as may are waiting there.
    #[error("the mailbox is full")]
    Full,
    /// The actor does not exist any more.
    #[error("the actor is gone")]
    Closed,
}

impl<M> Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// The mailbox of an actor, for this kind of message.
    #[must_use]
    pub fn new<A>(actor: &Addr<A>, mailboxes: &MailboxRegistry) -> Self
    where
        A: Handle<M> + Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
    {
        Self {
            recipient: actor.clone().recipient(),
            meter: mailboxes.get_or_create::<M>(A::NAME, A::CAPACITY),
        }
    }

    /// Posts a message now, and resolves to its reply. While the mailbox is full the message waits for a place.
    ///
    /// # Errors
    /// [`AskError`], at the latest after `patience`.
    pub fn ask(
        &self,
        message: M,
        patience: Duration,
    ) -> impl Future<Output = Result<M::Result, AskError>> + use<M> {
        let meter = self.meter;
        let reply = self.recipient.send(Envelope::new(message, meter));
        // Around the whole: actix does not look at a timeout of its own while the mailbox is full.
        let reply = tokio::time::timeout(patience, reply);
        async move {
            match reply.await {
                Ok(Ok(reply)) => Ok(reply),
                Err(_) | Ok(Err(MailboxError::Timeout)) => {
                    meter.record_timeout();
                    Err(AskError::Timeout)
                }
                Ok(Err(MailboxError::Closed)) => {
                    meter.record_closed();
                    Err(AskError::Closed)
                }
            }
        }
    }

    /// Posts a message if there is room for it. Nobody waits for a reply.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn tell(&self, message: M) -> Result<(), TellError> {
        let posted = Envelope::new(message, self.meter);
        self.recipient.try_send(posted).map_err(|error| match error {
            SendError::Full(_) => {
                self.meter.record_full();
                TellError::Full
            }
            SendError::Closed(_) => {
                self.meter.record_closed();
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
        Self { recipient: self.recipient.clone(), meter: self.meter }
    }
}

impl<M> std::fmt::Debug for Address<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.meter.actor).field(&self.meter.message).finish()
    }
}

/// A message on its way.
#[derive(Debug)]
pub struct Envelope<M> {
    message: M,
    stamp: Stamp,
}

/// When a message was posted, then when it was taken.
#[derive(Debug)]
struct Stamp {
    meter: &'static MailboxMetrics,
    at: Instant,
    taken: bool,
}

impl<M> Envelope<M> {
    fn new(message: M, meter: &'static MailboxMetrics) -> Self {
        meter.record_enqueued();
        let stamp = Stamp { meter, at: Instant::now(), taken: false };
        Self { message, stamp }
    }

    /// Hands the message over. To be called by the actor's one handler, which [`impl_mailbox!`](crate::impl_mailbox) writes.
    pub fn take<T>(self, receive: impl FnOnce(M) -> Reply<T>) -> Handled<T> {
        let Self { message, mut stamp } = self;
        let now = Instant::now();
        stamp.meter.record_dequeued(now.duration_since(stamp.at));
        stamp.taken = true;
        stamp.at = now;
        Handled { reply: receive(message), stamp }
    }
}

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
}

impl Drop for Stamp {
    fn drop(&mut self) {
        if !self.taken {
            self.meter.record_dropped();
        }
    }
}

/// A message that was taken, and what it is answered with.
pub struct Handled<T> {
    reply: Reply<T>,
    stamp: Stamp,
}

impl Stamp {
    fn answered(&self) {
        self.meter.record_processed(self.at.elapsed());
    }
}

impl<A, M> MessageResponse<A, Envelope<M>> for Handled<M::Result>
where
    A: Actor + Mailbox,
    M: Message,
{
    fn handle(self, _: &mut A::Context, asker: Option<OneshotSender<M::Result>>) {
        let Self { reply, stamp } = self;
        match reply {
            Reply::Now(reply) => {
                stamp.answered();
                tell(asker, reply);
            }
            Reply::Later(reply) => {
                actix::spawn(async move {
                    // Without a reply the asker is told that there will be none.
                    let Ok(reply) = caught(A::PART, reply).await else { return };
                    stamp.answered();
                    tell(asker, reply);
                });
            }
        }
    }
}

fn tell<T>(asker: Option<OneshotSender<T>>, reply: T) {
    if let Some(asker) = asker {
        // One that lost its patience is not there any more.
        let _ = asker.send(reply);
    }
}
