//! The limits of client addresses, and the occupancy of the tables that enforce them.

use strum::{IntoStaticStr, VariantArray};
use thiserror::Error;

/// A limit that a client address can exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AddressLimit {
    /// Clients see `RATE_LIMIT_EXCEEDED`.
    #[error("too many questions from this address in a minute")]
    Questions,
    /// Clients see `RATE_LIMIT_EXCEEDED`, or status 429 at the handshake.
    #[error("too many sessions from this address in an hour")]
    Sessions,
    /// Clients see status 429 at the handshake.
    #[error("too many connections from this address")]
    Connections,
    /// The limit of all addresses together. Clients see status 503 at the handshake.
    #[error("too many connections")]
    TotalConnections,
}

impl AddressLimit {
    /// Returns the label value in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The occupancy of the rate-limit tables, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOccupancy {
    /// Addresses whose questions are tracked individually; at most 100,000.
    pub question_addresses: usize,
    /// Addresses whose new sessions are tracked individually; at most 100,000.
    pub session_addresses: usize,
    /// Open connections.
    pub connections: u32,
    /// Decisions made with the shared sketch so far, because a table was full. While this grows,
    /// clients may be refused for requests of other addresses.
    pub sketch_decisions: u64,
}
