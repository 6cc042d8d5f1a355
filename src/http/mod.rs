//! The HTTP servers: one for visitors (WebSocket handshake, event streams, health, chat page, API
//! documents) and one for the operator (metrics, health).
//!
//! No endpoint here makes a decision about a conversation.

mod admission;
mod api_docs;
mod connection;
mod content;
mod error_head;
mod error_response;
mod event_stream;
mod frame_lines;
mod health;
mod http1;
mod middleware;
mod operator_server;
mod origin_check;
mod page;
mod request_id;
mod routing;
mod server;
mod site;
mod upgrade;

use std::sync::{Arc, Once};

use slog::Logger;

pub use operator_server::serve_operator;
pub use server::{BindError, bind, bind_operator, serve};
pub use site::{Site, widget_snippet};

pub use middleware::LogThrottle;

use crate::budget::BudgetTracker;
use crate::health::CheckHealth;
use crate::limits::{IpLimiter, TrustedProxies};
use crate::mailbox::Address;
use crate::session::SessionContext;
use crate::session::connection::event_stream::directory::StreamDirectory;
use crate::session::connection::slow_consumer::Watchdog;
use crate::settings::HttpSettings;

/// The state that all HTTP workers share.
pub struct AppState {
    /// The context of new sessions.
    pub session: Arc<SessionContext>,
    /// Closes the connections of slow consumers.
    pub watchdog: Arc<Watchdog>,
    /// The open event streams.
    pub event_streams: Arc<StreamDirectory>,
    /// The health actor.
    pub health: Address<CheckHealth>,
    /// The limits of each client address.
    pub ip_limiter: Arc<IpLimiter>,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: TrustedProxies,
    /// Guards the one warning about a likely proxy that is not trusted.
    pub warned_of_untrusted_proxy: Once,
    /// The token and cost budget, for the metrics.
    pub budget: Arc<BudgetTracker>,
    /// Origins and addresses.
    pub settings: HttpSettings,
    /// The page, the documents, and the rules for hosts and headers.
    pub site: Site,
    /// Limits the log lines about refused host names.
    pub refused_hosts_log: LogThrottle,
    /// The root logger.
    pub log: Logger,
}
