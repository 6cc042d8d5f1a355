//! Builds a running server from the settings.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use slog::Logger;
use strum::VariantArray;
use thiserror::Error;

use crate::app::answers::Answers;
use crate::app::context::BuildContext;
use crate::app::discovery::Discovery;
use crate::app::listeners::{self, Listeners};
use crate::app::signals::Signals;
use crate::app::{sessions, store};
use crate::http::BindError;
use crate::input_filter::injection::Category;
use crate::llm::messages::FinishAnswers;
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::llm::router::Router;
use crate::mailbox::Address;
use crate::persistence::messages::FlushStorage;
use crate::resume::Document;
use crate::session::registry::Registry;
use crate::settings::Settings;
use crate::supervision::Supervision;
use crate::system::fd_limit::{self, FdLimitTooLow};
use crate::telemetry::metrics::Metrics;

/// The server could not start.
#[derive(Debug, Error)]
pub enum StartupError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The upstream server rejects the API key.
    #[error("OPENROUTER_API_KEY: the model server rejects it (401). Make one at https://openrouter.ai/keys")]
    KeyRejected,
    /// The limit on open files is too low.
    #[error(transparent)]
    TooFewDescriptors(#[from] FdLimitTooLow),
    /// TLS, a thread or a socket could not be set up.
    #[error("the server cannot be set up: {0}")]
    System(String),
}

impl StartupError {
    pub(crate) fn system(error: impl std::fmt::Display) -> Self {
        Self::System(error.to_string())
    }
}

/// What produces the answers of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerSource {
    /// The configured model.
    Model,
    /// Excerpts of the resume.
    Excerpts,
}

/// The input of [`Application::build`].
pub struct BuildInput<'a> {
    /// The settings, validated.
    pub settings: &'a Settings,
    /// The resume that visitors ask about.
    pub resume: &'a Document,
    /// The system prompt made from the resume.
    pub system_prompt: SystemPrompt,
    /// What produces the answers.
    pub source: AnswerSource,
    /// The metrics of the process.
    pub metrics: &'a Arc<Metrics>,
    /// The root logger.
    pub log: &'a Logger,
}

/// A server that listens.
pub struct Application {
    /// The address visitors connect to.
    pub address: SocketAddr,
    pub(crate) server: Server,
    /// Stopped last, so that metrics are served during shutdown.
    pub(crate) operator_server: Option<ServerHandle>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) finish_answers: Address<FinishAnswers>,
    pub(crate) flush_storage: Address<FlushStorage>,
    pub(crate) supervision: Arc<Supervision>,
    pub(crate) router: Arc<Router>,
    pub(crate) discovery: Discovery,
    pub(crate) log: Logger,
    pub(crate) signals: Signals,
}

impl Application {
    /// Binds the addresses and starts every actor. Must run inside an actix system, on a database
    /// whose migrations have run.
    ///
    /// # Errors
    /// Returns a [`StartupError`] if an address cannot be bound or the system lacks a resource.
    pub fn build(input: BuildInput<'_>) -> Result<Self, StartupError> {
        let (settings, log) = (input.settings, input.log);
        let listeners = Listeners::bind(&settings.http, input.source, log)?;
        let address = listeners.visitor_address()?;
        let connections = fd_limit::raise_nofile_limit(settings, log)?;
        input.metrics.session.connections_max.set(connections.chats.into());
        input
            .metrics
            .limits
            .declare_injection_categories(Category::VARIANTS.iter().map(|category| category.as_str()));
        let source = input.source;
        let context = BuildContext::new(input);
        context.supervision.install_panic_hook();

        let persistence = store::start(&context);
        let answers = Answers::start(&context, source, &persistence)?;
        let health = sessions::start_health(&context, &persistence, &answers);
        let session = sessions::session_context(&context, &persistence, &answers);
        let state = listeners::app_state(&context, session, &health, answers.budget, &connections)?;
        let (server, operator_server) = listeners.serve(&state, settings, &connections, log)?;

        let discovery = Discovery {
            router: Arc::clone(&answers.router),
            system_prompt: Arc::clone(&context.system_prompt),
            limits: sessions::token_limits(settings),
            log: log.clone(),
        };
        // Installed before the address is announced, so that an immediate SIGTERM still shuts down
        // gracefully.
        let signals = Signals::install().map_err(StartupError::system)?;
        Ok(Self {
            address,
            server,
            operator_server,
            finish_answers: context.address_of(&answers.llm),
            flush_storage: context.address_of(&persistence),
            registry: context.registry,
            supervision: context.supervision,
            router: answers.router,
            discovery,
            log: log.clone(),
            signals,
        })
    }
}
