//! The HTTP side: the WebSocket handshake, health, the chat page, the documents that describe it all; and apart from them
//! what the operator may see.
//!
//! What is absent: no endpoint here decides anything about a conversation.

mod connection;
mod documents;
mod health;
mod operator;
mod origin;
mod page;
mod refusal;
mod request_id;
mod server;
mod upgrade;

use std::sync::{Arc, Once};

use slog::Logger;

pub use operator::serve_operator;
pub use server::{BindError, bind, bind_operator, serve};

use crate::budget::BudgetTracker;
use crate::health::CheckHealth;
use crate::limits::{AddressGate, TrustedProxies};
use crate::mailbox::Address;
use crate::session::SessionSurroundings;
use crate::session::connection::slow_consumer::Watchdog;
use crate::settings::HttpSettings;

/// What every request may need; one value shared by all workers.
pub struct HttpSurroundings {
    /// What sessions need.
    pub session: Arc<SessionSurroundings>,
    /// Ends connections whose reader has stopped.
    pub watchdog: Arc<Watchdog>,
    /// Tells how the server is.
    pub health: Address<CheckHealth>,
    /// How much one address may take.
    pub addresses: Arc<AddressGate>,
    /// Whose word on who a client is is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether the owner was told of a proxy that seems to be one and is not trusted.
    pub unnamed_proxy: Once,
    /// What the day may take.
    pub spending: Arc<BudgetTracker>,
    /// Who may connect.
    pub settings: HttpSettings,
    /// The log.
    pub log: Logger,
}
