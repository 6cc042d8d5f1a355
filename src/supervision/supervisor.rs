//! Runs a shared actor, and makes it anew behind the same mailbox when it has panicked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::dev::ContextFut;
use actix::dev::channel::channel;
use actix::{Actor, Addr, ArbiterHandle, Context, Supervised};

use super::restart_limit::RestartLimit;
use super::{Supervision, catch};
use crate::domain::component::Component;
use crate::mailbox::Mailbox;

/// The task of one shared actor.
struct Supervisor<A: Actor<Context = Context<A>>> {
    incarnation: ContextFut<A, Context<A>>,
    part: Component,
    limit: RestartLimit,
    supervision: Arc<Supervision>,
}

/// Starts an actor here. After a panic of whatever runs in its context, [`Supervised::restarting`] makes it anew; what
/// waits in its mailbox stays there, and its timers are begun again by [`Actor::started`].
pub fn start<A>(supervision: &Arc<Supervision>, make: impl FnOnce() -> A) -> Addr<A>
where
    A: Supervised + Mailbox<Context = Context<A>>,
{
    let (sender, receiver) = channel(A::CAPACITY);
    run(Arc::clone(supervision), Context::with_receiver(receiver), make);
    Addr::new(sender)
}

/// As [`start`], on the thread of an arbiter, where the actor is made as well.
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
    arbiter.spawn_fn(move || run(supervision, Context::with_receiver(receiver), make));
    Addr::new(sender)
}

fn run<A>(supervision: Arc<Supervision>, context: Context<A>, make: impl FnOnce() -> A)
where
    A: Supervised + Mailbox<Context = Context<A>>,
{
    let incarnation = context.into_future(make());
    actix::spawn(Supervisor { incarnation, part: A::PART, limit: RestartLimit::default(), supervision });
}

impl<A> Future for Supervisor<A>
where
    A: Supervised + Actor<Context = Context<A>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            if let Ok(poll) = catch(this.part, || Pin::new(&mut this.incarnation).poll(cx)) {
                return poll;
            }
            // The message that was in hand is gone, and its asker told so; whatever the actor had begun in its context
            // is dropped. Making it anew may panic as well, which counts like any other.
            let anew = loop {
                if !this.supervision.may_restart(this.part, &mut this.limit) {
                    break false;
                }
                if let Ok(anew) = catch(this.part, || this.incarnation.restart()) {
                    // Otherwise nobody is left who could write to it.
                    break anew;
                }
            };
            if !anew {
                return Poll::Ready(());
            }
        }
    }
}

impl<A> Unpin for Supervisor<A> where A: Actor<Context = Context<A>> {}
