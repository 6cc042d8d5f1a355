//! Starts the persistence actor and the task that watches for session takeovers.

use std::sync::Arc;

use actix::{Addr, Arbiter};
use slog::o;

use crate::app::context::BuildContext;
use crate::domain::component::Component;
use crate::persistence::PersistenceActor;
use crate::session::takeover;
use crate::supervision::supervisor;

pub(super) fn start(context: &BuildContext<'_>) -> Addr<PersistenceActor> {
    let persistence = {
        let database = context.settings.database.clone();
        let log = context.log.new(o!("actor" => "persistence"));
        let (metrics, supervision) = (Arc::clone(&context.metrics), Arc::clone(&context.supervision));
        supervisor::start_in_arbiter(&Arbiter::new().handle(), &context.supervision, move || {
            PersistenceActor::new(&database, metrics, supervision, log)
        })
    };
    let registry = Arc::clone(&context.registry);
    let find_epochs = context.address_of(&persistence);
    let watch = async move || takeover::watch(&registry, &find_epochs).await;
    actix::spawn(Arc::clone(&context.supervision).supervise_task(Component::Takeover, watch));
    persistence
}
