//! How actors write to each other, measured in one place so that no message can be forgotten.
//!
//! A neighbour is held as a [`Address`]: a handle that takes one kind of message. What it sends is an [`Envelope`] message,
//! which knows when it was sent. An actor implements [`Handle`] for what it takes, and [`impl_mailbox!`](crate::impl_mailbox)
//! once, which is the only `Handler` there is. So every message passes through the [`MailboxMetrics`] of its kind.
//!
//! In reading order: [`post`] is the sender's side and the way of a message, [`meter`] what is counted on it.
//!
//! What is absent: no actor implements actix's `Handler` itself, and nobody holds a `Recipient`.

pub mod address;

use actix::{Actor, Message};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

pub use address::{Address, AskError, Envelope, Handled, TellError};

use crate::domain::component::Component;

/// An actor with a measured mailbox. Implemented by [`impl_mailbox!`](crate::impl_mailbox).
pub trait Mailbox: Actor {
    /// The kind of actor. All actors of one kind are measured as one.
    const PART: Component;
    /// The kind of actor, as metrics call it.
    const NAME: &'static str = Self::PART.as_str();
    /// Messages that may wait for each of them.
    const CAPACITY: usize;
}

/// Takes a kind of message. What actors implement instead of actix's `Handler`.
pub trait Handle<M: Message>: Mailbox {
    /// Takes a message out of the mailbox.
    fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Reply<M::Result>;
}

/// What an actor answers.
pub enum Reply<T> {
    /// The reply.
    Now(T),
    /// The reply when the future resolves; the actor takes other messages meanwhile. The future is run to its end
    /// whatever becomes of the asker. Its panic is its asker's alone, who hears [`AskError::Closed`].
    Later(LocalBoxFuture<'static, T>),
}

impl<T> Reply<T> {
    /// A reply that has to be waited for.
    pub fn later(reply: impl Future<Output = T> + 'static) -> Self {
        Self::Later(reply.boxed_local())
    }
}

/// Gives an actor its mailbox: the part of the server that it is, a capacity, and the one way by which messages come in.
#[macro_export]
macro_rules! impl_mailbox {
    ($actor:ty, $part:expr, $capacity:expr) => {
        impl $crate::mailbox::Mailbox for $actor {
            const PART: $crate::domain::component::Component = $part;
            const CAPACITY: usize = $capacity;
        }

        impl<M> ::actix::Handler<$crate::mailbox::Envelope<M>> for $actor
        where
            $actor: $crate::mailbox::Handle<M>,
            M: ::actix::Message + Send + 'static,
            M::Result: Send,
        {
            type Result = $crate::mailbox::Handled<M::Result>;

            fn handle(
                &mut self,
                posted: $crate::mailbox::Envelope<M>,
                ctx: &mut Self::Context,
            ) -> Self::Result {
                posted.take(|message| $crate::mailbox::Handle::handle(self, message, ctx))
            }
        }
    };
}
