//! Runs a shared actor, and restarts it behind the same mailbox after a panic.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::dev::ContextFut;
use actix::dev::channel::channel;
use actix::{Actor, Addr, ArbiterHandle, Context, Supervised};

use super::Supervision;
use super::restart_limit::RestartLimit;
use crate::domain::component::Component;
use crate::mailbox::Mailbox;
use crate::system::panics::catch_panic_sync;

/// The task of one shared actor.
struct Supervisor<A: Actor<Context = Context<A>>> {
    actor: ContextFut<A, Context<A>>,
    component: Component,
    limit: RestartLimit,
    supervision: Arc<Supervision>,
}

/// Starts an actor on this thread. After a panic in its context, [`Supervised::restarting`] resets
/// the actor, [`Actor::started`] starts its timers again, and the messages in its mailbox are kept.
pub fn start<A>(supervision: &Arc<Supervision>, make: impl FnOnce() -> A) -> Addr<A>
where
    A: Supervised + Mailbox<Context = Context<A>>,
{
    let (sender, receiver) = channel(A::CAPACITY);
    spawn(Arc::clone(supervision), Context::with_receiver(receiver), make);
    Addr::new(sender)
}

/// Like [`start`], but creates and runs the actor on the thread of an arbiter.
pub fn start_in_arbiter<A>(
    arbiter: &ArbiterHandle,
    supervision: &Arc<Supervision>,
    make: impl FnOnce() -> A + Send + 'static,
) -> Addr<A>
where
    A: Supervised + Mailbox<Context = Context<A>>,
{
    let (sender, receiver) = channel(A::CAPACITY);
    let supervision = Arc::clone(supervision);
    arbiter.spawn_fn(move || spawn(supervision, Context::with_receiver(receiver), make));
    Addr::new(sender)
}

fn spawn<A>(supervision: Arc<Supervision>, context: Context<A>, make: impl FnOnce() -> A)
where
    A: Supervised + Mailbox<Context = Context<A>>,
{
    let actor = context.into_future(make());
    actix::spawn(Supervisor { actor, component: A::COMPONENT, limit: RestartLimit::default(), supervision });
}

impl<A> Supervisor<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    /// Restarts the actor. The message that it was handling is lost, and its sender receives an
    /// error; everything else that the actor started in its context is dropped. A panic during the
    /// restart counts like any other. Returns false if the actor ends instead.
    fn restart(&mut self) -> bool {
        loop {
            if !self.supervision.may_restart(self.component, &mut self.limit) {
                return false;
            }
            // `ContextFut::restart` returns false if every address of the actor was dropped.
            if let Ok(restarted) = catch_panic_sync(self.component, || self.actor.restart()) {
                return restarted;
            }
        }
    }
}

impl<A> Future for Supervisor<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            if let Ok(poll) = catch_panic_sync(this.component, || Pin::new(&mut this.actor).poll(cx)) {
                return poll;
            }
            if !this.restart() {
                return Poll::Ready(());
            }
        }
    }
}

impl<A> Unpin for Supervisor<A> where A: Actor<Context = Context<A>> {}
