//! The HTTP side: the WebSocket handshake, health, and the chat page; and apart from them what the operator may see.
//!
//! What is absent: no endpoint here decides anything about a conversation.

mod health;
mod operator;
mod origin;
mod page;
mod refusal;
mod request_id;
mod server;
mod upgrade;

use std::sync::Arc;

use slog::Logger;

pub use operator::serve_operator;
pub use server::{BindError, bind, bind_operator, serve};

use crate::health::CheckHealth;
use crate::mailbox::Post;
use crate::session::SessionSurroundings;
use crate::session::watchdog::Watchdog;
use crate::settings::HttpSettings;

/// What every request may need; one value shared by all workers.
pub struct HttpSurroundings {
    /// What sessions need.
    pub session: Arc<SessionSurroundings>,
    /// Ends connections whose reader has stopped.
    pub watchdog: Arc<Watchdog>,
    /// Tells how the server is.
    pub health: Post<CheckHealth>,
    /// Who may connect.
    pub settings: HttpSettings,
    /// The log.
    pub log: Logger,
}
