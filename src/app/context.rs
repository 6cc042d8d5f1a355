//! The values that every part of the server is built from.

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::{Addr, Handler, Message};
use slog::Logger;

use crate::app::startup::BuildInput;
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::mailbox::{Address, Envelope, Handle};
use crate::resume::Document;
use crate::session::registry::Registry;
use crate::settings::Settings;
use crate::supervision::Supervision;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::Metrics;
use crate::tokens::TokenCounter;

pub(super) struct BuildContext<'a> {
    pub(super) settings: &'a Settings,
    pub(super) resume: &'a Document,
    pub(super) system_prompt: Arc<SystemPrompt>,
    pub(super) counter: TokenCounter,
    pub(super) instance_id: InstanceId,
    pub(super) registry: Arc<Registry>,
    pub(super) supervision: Arc<Supervision>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Logger,
}

impl<'a> BuildContext<'a> {
    pub(super) fn new(input: BuildInput<'a>) -> Self {
        let system_prompt = Arc::new(input.system_prompt);
        // Counting the tokens would delay the first answer, so it starts now, on a separate thread.
        let to_count = Arc::clone(&system_prompt);
        std::thread::spawn(move || to_count.tokens());
        Self {
            settings: input.settings,
            resume: input.resume,
            system_prompt,
            counter: TokenCounter::new(input.settings.tokens.tokenizer),
            instance_id: InstanceId::from_current_process(),
            registry: Registry::new(),
            supervision: Supervision::new(Arc::clone(input.metrics), input.log.clone()),
            metrics: Arc::clone(input.metrics),
            log: input.log.clone(),
        }
    }

    /// Returns the address of an actor for one type of message.
    pub(super) fn address_of<A, M>(&self, actor: &Addr<A>) -> Address<M>
    where
        A: Handle<M> + Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Address::new(actor, &self.metrics.mailboxes)
    }
}
