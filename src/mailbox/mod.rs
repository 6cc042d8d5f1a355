//! Message passing between actors, measured in one place so that no message is left out.
//!
//! A sender holds an [`Address`], a handle for one type of message. It wraps each message in an
//! [`Envelope`] that records when it was sent. An actor implements [`Handle`] for each type of
//! message, and [`impl_mailbox!`](crate::impl_mailbox) provides its only actix `Handler`. So every
//! message passes through the [`MailboxMetrics`](crate::telemetry::mailbox_metrics::MailboxMetrics)
//! of its type. No other module implements `Handler` or holds a `Recipient`.

pub mod address;

use actix::{Actor, Message};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

pub use address::{Address, AskError, Envelope, Handled, TellError};

use crate::domain::component::Component;

/// An actor with a measured mailbox. Implemented by [`impl_mailbox!`](crate::impl_mailbox).
pub trait Mailbox: Actor {
    /// The component that the actor belongs to. All actors of one component are measured together.
    const COMPONENT: Component;
    /// The label value of the actor in metrics.
    const NAME: &'static str = Self::COMPONENT.as_str();
    /// The messages that can wait in the mailbox of one actor.
    const CAPACITY: usize;
}

/// Handles one type of message. Actors implement this instead of actix's `Handler`.
pub trait Handle<M: Message>: Mailbox {
    /// Handles a message from the mailbox.
    fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Reply<M::Result>;
}

/// The reply to a message.
pub enum Reply<T> {
    /// A reply that is sent at once.
    Now(T),
    /// A reply that is sent when the future resolves. The actor handles other messages meanwhile.
    /// The future runs to completion even if the caller goes away. If it panics, only the caller
    /// sees [`AskError::Closed`].
    Later(LocalBoxFuture<'static, T>),
}

impl<T> Reply<T> {
    /// Returns a reply that is sent when the future resolves.
    pub fn later(reply: impl Future<Output = T> + 'static) -> Self {
        Self::Later(reply.boxed_local())
    }
}

/// Implements [`Mailbox`](crate::mailbox::Mailbox) and the only `Handler` of an actor, from its
/// type, its component and the capacity of its mailbox.
#[macro_export]
macro_rules! impl_mailbox {
    ($actor:ty, $component:expr, $capacity:expr) => {
        impl $crate::mailbox::Mailbox for $actor {
            const COMPONENT: $crate::domain::component::Component = $component;
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
                envelope: $crate::mailbox::Envelope<M>,
                ctx: &mut Self::Context,
            ) -> Self::Result {
                envelope.open(|message| $crate::mailbox::Handle::handle(self, message, ctx))
            }
        }
    };
}
