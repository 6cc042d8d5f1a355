//! Binds the addresses of visitors and of the operator, and serves them.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Once};

use actix::Addr;
use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use slog::{Logger, info, o, warn};

use crate::app::context::BuildContext;
use crate::app::startup::{AnswerSource, StartupError};
use crate::budget::BudgetTracker;
use crate::domain::component::Component;
use crate::health::HealthActor;
use crate::http::{self, AppState, LogThrottle, Site};
use crate::limits::{IpLimiter, IpLimits, TrustedProxies};
use crate::session::SessionContext;
use crate::session::connection::slow_consumer::Watchdog;
use crate::settings::{HttpSettings, Settings};
use crate::system::fd_limit::ConnectionCaps;

pub(super) struct Listeners {
    visitors: TcpListener,
    operator: Option<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(
        settings: &HttpSettings,
        source: AnswerSource,
        log: &Logger,
    ) -> Result<Self, StartupError> {
        let visitors = http::bind(SocketAddr::new(settings.host, settings.port))?;
        let operator = match settings.operator.map(http::bind_operator).transpose() {
            // The demo does not need metrics, and its user did not choose that port.
            Err(error) if source == AnswerSource::Excerpts => {
                warn!(log, "no metrics are served"; "cause" => %error);
                None
            }
            operator => operator?,
        };
        Ok(Self { visitors, operator })
    }

    pub(super) fn visitor_address(&self) -> Result<SocketAddr, StartupError> {
        self.visitors.local_addr().map_err(StartupError::system)
    }

    /// Starts the server for the operator. Returns the server for visitors, which the caller must
    /// run, and the handle of the server for the operator.
    pub(super) fn serve(
        self,
        state: &Data<AppState>,
        settings: &Settings,
        connections: &ConnectionCaps,
        log: &Logger,
    ) -> Result<(Server, Option<ServerHandle>), StartupError> {
        let slow_reader_timeout = settings.session.slow_reader_timeout;
        let operator_server = match self.operator {
            Some(listener) => {
                let address = listener.local_addr().map_err(StartupError::system)?;
                info!(log, "operator address"; "address" => %address);
                let server = http::serve_operator(listener, Data::clone(state), slow_reader_timeout)
                    .map_err(StartupError::system)?;
                let handle = server.handle();
                actix::spawn(server);
                Some(handle)
            }
            None => None,
        };
        let server = http::serve(self.visitors, Data::clone(state), slow_reader_timeout, connections.total)
            .map_err(StartupError::system)?;
        Ok((server, operator_server))
    }
}

/// Builds the state that all HTTP workers share, and starts the watchdog of slow consumers.
pub(super) fn app_state(
    context: &BuildContext<'_>,
    session: Arc<SessionContext>,
    health: &Addr<HealthActor>,
    budget: Arc<BudgetTracker>,
    connections: &ConnectionCaps,
) -> Result<Data<AppState>, StartupError> {
    let settings = context.settings;
    let limits = IpLimits {
        questions_per_minute: settings.limits.questions_per_minute_per_address,
        sessions_per_hour: settings.limits.sessions_per_hour_per_address,
        connections: settings.http.max_connections_per_address,
        total_connections: connections.chats,
    };
    let proxies = settings.http.trusted_proxies.iter().map(String::as_str);
    Ok(Data::new(AppState {
        session,
        watchdog: start_watchdog(context),
        event_streams: Arc::default(),
        health: context.address_of(health),
        ip_limiter: IpLimiter::new(limits, Arc::clone(&context.metrics)),
        trusted_proxies: TrustedProxies::parse(proxies).map_err(StartupError::system)?,
        warned_of_untrusted_proxy: Once::new(),
        budget,
        settings: settings.http.clone(),
        site: Site::new(&settings.http, &settings.page, context.resume),
        refused_hosts_log: LogThrottle::default(),
        log: context.log.clone(),
    }))
}

fn start_watchdog(context: &BuildContext<'_>) -> Arc<Watchdog> {
    let watchdog = Watchdog::new(context.settings.session.slow_reader_timeout);
    let run = {
        let (watchdog, metrics) = (Arc::clone(&watchdog), Arc::clone(&context.metrics));
        let log = context.log.new(o!("actor" => "watchdog"));
        async move || Arc::clone(&watchdog).run(Arc::clone(&metrics), log.clone()).await
    };
    actix::spawn(Arc::clone(&context.supervision).supervise_task(Component::Watchdog, run));
    watchdog
}
