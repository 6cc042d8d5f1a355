//! From settings to a running server: the only place that names every actor.

use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use actix::Arbiter;
use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use secrecy::ExposeSecret;
use slog::{Logger, info, o, warn};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::shutdown::Signals;
use crate::budget::{AddressKeeper, Budget, Ceilings, Prices, Spending};
use crate::domain::clock::Timestamp;
use crate::domain::component::Component;
use crate::health::{HealthActor, HealthParts};
use crate::http::{self, BindError, HttpSurroundings};
use crate::limits::{AddressGate, Limits, TrustedProxies};
use crate::llm::LlmActor;
use crate::llm::billing::cost_reconciler::CostReconciler;
use crate::llm::excerpts::Excerpts;
use crate::llm::messages::FinishAnswers;
use crate::llm::prompt::system_prompt::{SystemPrompt, suggestions};
use crate::llm::resilience::circuit_breaker::BreakerPolicy;
use crate::llm::resilience::concurrency_limit::ConcurrencyLimiter;
use crate::llm::router::{ModelBackend, Router};
use crate::llm::turn::context::{LatestDuration, TurnContext, TurnLimits};
use crate::llm::turn::store::TurnStore;
use crate::llm::upstream::api_key::KeyError;
use crate::llm::upstream::client::UpstreamClient;
use crate::mailbox::Address;
use crate::persistence::PersistenceActor;
use crate::persistence::messages::FlushStorage;
use crate::protocol::server::ResumeInfo;
use crate::resume::Document;
use crate::session::connection::slow_consumer::Watchdog;
use crate::session::registry::Registry;
use crate::session::state::question_validator::Intake;
use crate::session::{Neighbours, SessionLimits, SessionSurroundings, SessionTimes, takeover};
use crate::settings::{BudgetSettings, DegradedMode, LlmSettings, Settings};
use crate::supervision::{Supervision, supervisor};
use crate::system::fd_limit;
use crate::system::fd_limit::TooFew;
use crate::system::instance_id::Incarnation;
use crate::telemetry::metrics::Metrics;
use crate::tokens::TokenCounter;

/// How long start-up waits to hear whether the key is one; a server that takes longer is not waited for.
const KEY_PATIENCE: Duration = Duration::from_secs(1);

/// How often the key is looked at, so that a health report knows what is left without asking.
const KEY_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Who is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The configured model.
    FromModel,
    /// The resume itself.
    FromExcerpts,
}

/// The server could not start.
#[derive(Debug, Error)]
pub enum StartupError {
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The key.
    #[error(
        "OPENROUTER_API_KEY: the model's server refuses it (401). Make one at https://openrouter.ai/keys"
    )]
    KeyRefused,
    /// The limit of open files.
    #[error(transparent)]
    TooFewDescriptors(#[from] TooFew),
    /// TLS, threads or sockets.
    #[error("the server cannot be set up: {0}")]
    System(String),
}

/// A server that listens.
pub struct Application {
    /// Where.
    pub address: SocketAddr,
    pub(crate) server: Server,
    /// Stopped last, so that the leaving can be watched.
    pub(crate) operator: Option<ServerHandle>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) finish_answers: Address<FinishAnswers>,
    pub(crate) flush_storage: Address<FlushStorage>,
    pub(crate) supervision: Arc<Supervision>,
    sources: Arc<Router>,
    pub(crate) log: Logger,
    pub(crate) signals: Signals,
}

impl Application {
    /// Starts every actor and listens. The database must have been migrated. To be called within an actix system.
    ///
    /// # Errors
    /// [`StartupError`].
    pub fn build(
        settings: &Settings,
        resume: &Document,
        instructions: SystemPrompt,
        answers: Answers,
        metrics: &Arc<Metrics>,
        log: &Logger,
    ) -> Result<Self, StartupError> {
        let listener = http::bind(SocketAddr::new(settings.http.host, settings.http.port))?;
        let address = listener.local_addr().map_err(system)?;
        let operator = match settings.http.operator.map(http::bind_operator).transpose() {
            // Whoever only tries it out has not chosen that port, and can do without.
            Err(error) if answers == Answers::FromExcerpts => {
                warn!(log, "no metrics are served"; "cause" => %error);
                None
            }
            operator => operator?,
        };
        let supervision = Supervision::new(Arc::clone(metrics), log.clone());
        supervision.witness_panics();
        let room = fd_limit::make_room(settings, log)?;
        metrics.session.limit_connections.set(room.chats.into());
        let counter = TokenCounter::new(settings.tokens.tokenizer);
        let instructions = Arc::new(instructions);
        let to_count = Arc::clone(&instructions);
        std::thread::spawn(move || to_count.tokens());
        let spending = spending(settings);
        let sources = Arc::new(match answers {
            Answers::FromModel => {
                let BudgetSettings { prompt_price, completion_price, .. } = settings.budget;
                let most_paid = prompt_price.zip(completion_price);
                let most_paid = most_paid.map(|(prompt, completion)| Prices { prompt, completion });
                let client = UpstreamClient::new(&settings.llm).map_err(system)?.with_max_price(most_paid);
                let LlmSettings { degraded_mode, breaker_failures, breaker_pause, .. } = settings.llm;
                let breaker =
                    BreakerPolicy { failure_threshold: breaker_failures, initial_pause: breaker_pause };
                let excerpts = (degraded_mode == DegradedMode::Excerpts).then(|| Excerpts::new(resume));
                let LlmSettings { max_concurrency, max_queue, queue_timeout, .. } = settings.llm;
                let limiter = ConcurrencyLimiter::new(max_concurrency, max_queue, queue_timeout);
                let budget = Arc::clone(&spending);
                let backend = ModelBackend { client, breaker, limiter, budget };
                Router::with_model(backend, excerpts, Arc::clone(metrics))
            }
            Answers::FromExcerpts => Router::with_excerpts_only(Excerpts::new(resume), Arc::clone(metrics)),
        });
        let mailboxes = &metrics.mailboxes;
        let incarnation = Incarnation::this();
        let registry = Registry::new();
        let watchdog = Watchdog::new(settings.session.slow_reader_timeout);
        let looking = {
            let (watchdog, metrics) = (Arc::clone(&watchdog), Arc::clone(metrics));
            let log = log.new(o!("actor" => "watchdog"));
            async move || Arc::clone(&watchdog).run(Arc::clone(&metrics), log.clone()).await
        };
        actix::spawn(Arc::clone(&supervision).keep(Component::Watchdog, looking));

        let persistence = {
            let (database, log) = (settings.database.clone(), log.new(o!("actor" => "persistence")));
            let (metrics, shared) = (Arc::clone(metrics), Arc::clone(&supervision));
            supervisor::start_in_arbiter(&Arbiter::new().handle(), &supervision, move || {
                PersistenceActor::new(&database, metrics, shared, log)
            })
        };
        let succession = {
            let registry = Arc::clone(&registry);
            let find_epochs = Address::new(&persistence, mailboxes);
            async move || takeover::watch(&registry, &find_epochs).await
        };
        actix::spawn(Arc::clone(&supervision).keep(Component::Takeover, succession));
        let pending_cost_added = Arc::new(Notify::new());
        let reconciler = CostReconciler {
            router: Arc::clone(&sources),
            find: Address::new(&persistence, mailboxes),
            change: Address::new(&persistence, mailboxes),
            pending_cost_added: Arc::clone(&pending_cost_added),
            metrics: Arc::clone(metrics),
            instance_id: incarnation.name(),
            started_at: Timestamp::now(),
            log: log.new(o!("actor" => "cost_reconciler")),
        };
        let collecting = async move || reconciler.run().await;
        actix::spawn(Arc::clone(&supervision).keep(Component::CostReconciler, collecting));
        let llm = {
            let context = Arc::new(TurnContext {
                router: Arc::clone(&sources),
                budget: Arc::clone(&spending),
                store: TurnStore {
                    save_question: Address::new(&persistence, mailboxes),
                    save_answer: Address::new(&persistence, mailboxes),
                    find_turn: Address::new(&persistence, mailboxes),
                    mark_interrupted: Address::new(&persistence, mailboxes),
                },
                limits: TurnLimits {
                    max_retries: settings.llm.max_retries,
                    first_text_timeout: settings.llm.first_word_timeout,
                    reconnect_grace: settings.session.reconnect_grace,
                },
                counter,
                metrics: Arc::clone(metrics),
                instance_id: incarnation.clone(),
                pending_cost_added,
                time_to_first_text: LatestDuration::default(),
                shutdown: CancellationToken::new(),
            });
            let load_budget = Address::new(&persistence, mailboxes);
            let log = log.new(o!("actor" => "llm"));
            supervisor::start_in_arbiter(&Arbiter::new().handle(), &supervision, || {
                LlmActor::new(context, load_budget, log)
            })
        };
        let health = HealthParts {
            storage: Address::new(&persistence, mailboxes),
            writer: Address::new(&persistence, mailboxes),
            model: Address::new(&llm, mailboxes),
            metrics: Arc::clone(metrics),
            supervision: Arc::clone(&supervision),
            registry: Arc::clone(&registry),
            resume: format!("{} sections", resume.sections.len()),
        };
        let health = supervisor::start(&supervision, || HealthActor::new(health));
        let session = SessionSurroundings {
            neighbours: Neighbours {
                ask: Address::new(&llm, mailboxes),
                find_generation: Address::new(&llm, mailboxes),
                follow_elsewhere: Address::new(&llm, mailboxes),
                create: Address::new(&persistence, mailboxes),
                find_epochs: Address::new(&persistence, mailboxes),
                load_spending: Address::new(&persistence, mailboxes),
                resume: Address::new(&persistence, mailboxes),
                load_history: Address::new(&persistence, mailboxes),
                find_turn: Address::new(&persistence, mailboxes),
                mark_interrupted: Address::new(&persistence, mailboxes),
                save_feedback: Address::new(&persistence, mailboxes),
                forget: Address::new(&persistence, mailboxes),
            },
            incarnation,
            metrics: Arc::clone(metrics),
            supervision: Arc::clone(&supervision),
            registry: Arc::clone(&registry),
            intake: Intake::new(settings.limits.suspicious_content, counter),
            limits: SessionLimits {
                requests_per_minute: settings.limits.requests_per_minute,
                max_context_tokens: settings.tokens.max_context,
                max_response_tokens: settings.tokens.max_response,
            },
            times: SessionTimes {
                ttl: settings.session.ttl,
                idle_timeout: settings.session.idle_timeout,
                heartbeat_interval: settings.session.heartbeat_interval,
                first_frame_timeout: settings.session.first_frame_timeout,
                message_timeout: settings.session.message_timeout,
            },
            resume: ResumeInfo { name: resume.name.as_str().into(), revision: resume.revision().into() },
            suggestions: suggestions(resume).into(),
            instructions,
            sources: Arc::clone(&sources),
        };
        let surroundings = Data::new(HttpSurroundings {
            session: Arc::new(session),
            watchdog,
            health: Address::new(&health, mailboxes),
            addresses: AddressGate::new(
                Limits {
                    questions_per_minute: settings.limits.questions_per_minute_per_address,
                    sessions_per_hour: settings.limits.sessions_per_hour_per_address,
                    connections: settings.http.max_connections_per_address,
                    connections_in_all: room.chats,
                },
                Arc::clone(metrics),
            ),
            trusted_proxies: TrustedProxies::parse(settings.http.trusted_proxies.iter().map(String::as_str))
                .map_err(system)?,
            unnamed_proxy: Once::new(),
            spending,
            settings: settings.http.clone(),
            log: log.clone(),
        });
        let operator = match operator {
            Some(listener) => {
                info!(log, "operator address"; "address" => %listener.local_addr().map_err(system)?);
                let server = http::serve_operator(listener, Data::clone(&surroundings)).map_err(system)?;
                let handle = server.handle();
                actix::spawn(server);
                Some(handle)
            }
            None => None,
        };
        let server = http::serve(listener, surroundings, settings.session.slow_reader_timeout, room.in_all)
            .map_err(system)?;
        // Taken over before anybody is told that the server is there, so that one who ends it at once ends it in order.
        let signals = Signals::new().map_err(system)?;
        let finish_answers = Address::new(&llm, mailboxes);
        let flush_storage = Address::new(&persistence, mailboxes);
        Ok(Self {
            address,
            server,
            operator,
            registry,
            finish_answers,
            flush_storage,
            supervision,
            sources,
            log: log.clone(),
            signals,
        })
    }
}

fn spending(settings: &Settings) -> Arc<Spending> {
    let budget = &settings.budget;
    let of = |tokens, nanodollars| Ceilings { tokens, nanodollars };
    let ceilings = Budget {
        day: of(budget.daily_tokens, budget.daily_nanodollars),
        address: of(budget.address_tokens, budget.address_nanodollars),
        session: of(budget.session_tokens, budget.session_nanodollars),
    };
    let secret = settings.llm.api_key.as_ref().map_or("", |key| key.expose_secret());
    let addresses = AddressKeeper::new(secret.as_bytes());
    let prices =
        Prices { prompt: budget.prompt_price.unwrap_or(0), completion: budget.completion_price.unwrap_or(0) };
    Spending::new(ceilings, prices, addresses)
}

impl Application {
    /// Looks at the key, where the model's server tells of keys, and goes on doing so now and then.
    ///
    /// # Errors
    /// [`StartupError::KeyRefused`]. A server that cannot be reached, or not soon, is only a warning.
    pub async fn check_key(&self) -> Result<(), StartupError> {
        match timeout(KEY_PATIENCE, self.sources.refresh_key_report()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Err(KeyError::Refused))) => return Err(StartupError::KeyRefused),
            Ok(Some(Ok(report))) => {
                info!(self.log, "the key is valid"; "outlook" => report.outlook(Timestamp::now()));
            }
            Ok(Some(Err(error))) => warn!(self.log, "the key could not be checked"; "cause" => %error),
            Err(_) => warn!(self.log, "the key could not be checked"; "cause" => "no answer in time"),
        }
        let (sources, log) = (Arc::clone(&self.sources), self.log.clone());
        actix::spawn(async move {
            loop {
                tokio::time::sleep(KEY_INTERVAL).await;
                if let Some(Err(error)) = sources.refresh_key_report().await {
                    warn!(log, "the key could not be checked"; "cause" => %error);
                }
            }
        });
        Ok(())
    }
}

fn system(error: impl std::fmt::Display) -> StartupError {
    StartupError::System(error.to_string())
}
