//! How actors write to each other, measured in one place so that no message can be forgotten.
//!
//! A neighbour is held as a [`Post`]: a handle that takes one kind of message. What it sends is a [`Posted`] message,
//! which knows when it was sent. An actor implements [`Receive`] for what it takes, and [`receives!`](crate::receives)
//! once, which is the only `Handler` there is. So every message passes through the [`Meter`] of its kind.
//!
//! In reading order: [`post`] is the sender's side and the way of a message, [`meter`] what is counted on it.
//!
//! What is absent: no actor implements actix's `Handler` itself, and nobody holds a `Recipient`.

pub mod meter;
pub mod post;

use actix::{Actor, Message};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

pub use meter::{Mailboxes, Meter};
pub use post::{AskError, Handled, Post, Posted, TellError};

use crate::supervision::Part;

/// An actor with a measured mailbox. Implemented by [`receives!`](crate::receives).
pub trait Mailbox: Actor {
    /// The kind of actor. All actors of one kind are measured as one.
    const PART: Part;
    /// The kind of actor, as metrics call it.
    const NAME: &'static str = Self::PART.as_str();
    /// Messages that may wait for each of them.
    const CAPACITY: usize;
}

/// Takes a kind of message. What actors implement instead of actix's `Handler`.
pub trait Receive<M: Message>: Mailbox {
    /// Takes a message out of the mailbox.
    fn receive(&mut self, message: M, ctx: &mut Self::Context) -> Reply<M::Result>;
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
macro_rules! receives {
    ($actor:ty, $part:expr, $capacity:expr) => {
        impl $crate::mailbox::Mailbox for $actor {
            const PART: $crate::supervision::Part = $part;
            const CAPACITY: usize = $capacity;
        }

        impl<M> ::actix::Handler<$crate::mailbox::Posted<M>> for $actor
        where
            $actor: $crate::mailbox::Receive<M>,
            M: ::actix::Message + Send + 'static,
            M::Result: Send,
        {
            type Result = $crate::mailbox::Handled<M::Result>;

            fn handle(
                &mut self,
                posted: $crate::mailbox::Posted<M>,
                ctx: &mut Self::Context,
            ) -> Self::Result {
                posted.take(|message| $crate::mailbox::Receive::receive(self, message, ctx))
            }
        }
    };
}
